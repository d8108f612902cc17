-- The generation, the floor, and the labels that were purged since, each followed by its generation.
-- KEYS: the purges. ARGV: where a new sequence begins, the generation that is known.

local purges, since = KEYS[1], tonumber(ARGV[2])
local generation = redis.call('ZSCORE', purges, 'generation')
if not generation then
  generation = ARGV[1]
  redis.call('ZADD', purges, generation, 'generation', generation, 'floor')
end
local floor = redis.call('ZSCORE', purges, 'floor')
local reply = {generation, floor}
if since == tonumber(generation) then
  return reply
end
local after = '-inf'
if tonumber(floor) <= since and since < tonumber(generation) then
  after = '(' .. ARGV[2]
end
local members = redis.call('ZRANGEBYSCORE', purges, after, '+inf', 'WITHSCORES')
for place = 1, #members do
  reply[place + 2] = members[place]
end
return reply
