-- Purges labels, and returns the generation in which it did.
-- KEYS: the purges: by score the generation of each label, and of the members 'generation' and 'floor', which no label
--       is like. ARGV: where a new sequence begins, how many labels are kept, '1' for a purge of everything; the labels.

local purges, most = KEYS[1], tonumber(ARGV[2])
if redis.call('ZADD', purges, 'NX', ARGV[1], 'generation') == 1 then
  redis.call('ZADD', purges, ARGV[1], 'floor')
end
local generation = redis.call('ZINCRBY', purges, 1, 'generation')

local function fold(floor)
  redis.call('ZREMRANGEBYSCORE', purges, '-inf', floor)
  redis.call('ZADD', purges, generation, 'generation', floor, 'floor')
end

if ARGV[3] == '1' then
  fold(generation)
else
  for place = 4, #ARGV do
    redis.call('ZADD', purges, generation, ARGV[place])
  end
  local surplus = redis.call('ZCARD', purges) - 2 - most
  if surplus > 0 then
    -- The floor lies below all labels, so that this is the last of those which are too many.
    fold(redis.call('ZRANGE', purges, surplus, surplus, 'WITHSCORES')[2])
  end
end
return generation
