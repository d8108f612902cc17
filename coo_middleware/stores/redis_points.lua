-- The buckets that a window takes in, of a mean the mean of each: the oldest's number, the newest's, and for each
-- counter as many floats of 8 bytes, nothing where there is no bucket. The newest counts what lies ahead of it as well.
-- KEYS: a window of each counter, from KEYS[1] on. ARGV: now in seconds or '' for the server's clock, the window's
--       seconds, the buckets' seconds.

local now = tonumber(ARGV[1])
if not now then
  local time = redis.call('TIME')
  now = time[1] + time[2] / 1000000
end
local oldest, newest = math.floor((now - ARGV[2]) / ARGV[3]), math.floor(now / ARGV[3])
local count = newest - oldest + 1
local floats = '<' .. string.rep('d', count)

local function make_empty()
  local amounts = {}
  for place = 1, count do
    amounts[place] = 0
  end
  return amounts
end

local function add(amounts, bucket, amount)
  if bucket and bucket >= oldest then
    local place = math.min(bucket, newest) - oldest + 1
    amounts[place] = amounts[place] + amount
  end
end

local function read(key)
  local fields = redis.call('HGETALL', key)
  if #fields == 0 then
    return ''
  end
  local amounts, samples = make_empty(), nil
  for place = 1, #fields, 2 do
    local bucket = tonumber(fields[place])
    if bucket then
      add(amounts, bucket, fields[place + 1])
    else
      samples = samples or make_empty()
      add(samples, tonumber(string.sub(fields[place], 1, -2)), fields[place + 1])
    end
  end
  for place, number in ipairs(samples or {}) do
    amounts[place] = number ~= 0 and amounts[place] / number or 0
  end
  return struct.pack(floats, unpack(amounts))
end

local reply = {oldest, newest}
for place, key in ipairs(KEYS) do
  reply[place + 2] = read(key)
end
return reply
