-- A stored response and for how many milliseconds it is still there.
-- KEYS: the response.

local value = redis.call('GET', KEYS[1])
return value and {value, redis.call('PTTL', KEYS[1])}
