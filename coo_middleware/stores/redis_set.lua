-- Sets a mean: it weighs as much as one sample.
-- KEYS: usage, samples. ARGV: the value, milliseconds that it lives.

redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
redis.call('DEL', KEYS[2])
redis.call('HSET', KEYS[2], 'sum', ARGV[1], 'count', 1)
redis.call('PEXPIRE', KEYS[2], ARGV[2])
return 1
