-- The sum of the buckets that a window takes in, and how many samples they hold, as texts.
-- KEYS: a window. ARGV: now in seconds or '' for the server's clock, the window's seconds, the buckets' seconds.

local now = tonumber(ARGV[1])
if not now then
  local time = redis.call('TIME')
  now = time[1] + time[2] / 1000000
end
local oldest = math.floor((now - ARGV[2]) / ARGV[3])
local sum, samples = 0, 0
local fields = redis.call('HGETALL', KEYS[1])
for place = 1, #fields, 2 do
  local bucket, amount = tonumber(fields[place]), fields[place + 1]
  if not bucket then
    bucket = tonumber(string.sub(fields[place], 1, -2)) or oldest - 1
    if bucket >= oldest then
      samples = samples + amount
    end
  elseif bucket >= oldest then
    sum = sum + amount
  end
end
return {string.format('%.17g', sum), string.format('%.17g', samples)}
