-- Who leads: the one whose lease runs, or else who asks.
-- KEYS: the claim. ARGV: who asks, milliseconds of the lease.

local holder = redis.call('GET', KEYS[1])
if holder and holder ~= ARGV[1] then
  return holder
end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return ARGV[1]
