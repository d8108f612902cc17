-- Applies a batch of increments once.
-- KEYS: the writer's mark; then for each counter usage, samples, total and one window for each level.
-- ARGV: sequence, now in seconds or '' for the server's clock, milliseconds that a usage counter lives, milliseconds
--       that a mark lives, the levels as [[size, longest], ...]; then for each counter 'sum' or 'mean', delta, how many
--       samples, age in seconds.

local sequence, now = tonumber(ARGV[1]), tonumber(ARGV[2])
local levels = cjson.decode(ARGV[5])
local fault

if sequence <= tonumber(redis.call('GET', KEYS[1]) or 0) then
  return 0
end
-- The first write: whatever forbids writing (READONLY, OOM, MISCONF, NOREPLICAS) ends the script with nothing applied.
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[4])

if not now then
  local time = redis.call('TIME')
  now = time[1] + time[2] / 1000000
end

-- A key that another program has spoilt does not hold up the others: its fault is told when they are done.
local function try(...)
  local reply = redis.pcall(...)
  if type(reply) ~= 'table' or not reply.err then
    return reply
  end
  fault = fault or reply
end

local function begin_period(key)
  if try('PTTL', key) == -1 then
    try('PEXPIRE', key, ARGV[3])
  end
end

local function add_amount(usage, delta)
  if try('INCRBYFLOAT', usage, delta) then
    begin_period(usage)
  end
end

local function add_samples(usage, samples, delta, count)
  local mean = try('GET', usage)
  if mean == nil then
    return
  elseif not mean then
    try('HDEL', samples, 'sum', 'count')
  end
  local sum, number = try('HINCRBYFLOAT', samples, 'sum', delta), try('HINCRBYFLOAT', samples, 'count', count)
  if sum and number then
    begin_period(samples)
    try('SET', usage, string.format('%.15g', sum / number), 'KEEPTTL')
    begin_period(usage)
  end
end

-- Buckets that no window asks for any more leave when the hash has more than the longest window needs.
local function drop_old_buckets(key, oldest, most)
  if (try('HLEN', key) or 0) < most then
    return
  end
  local old = {}
  for _, field in ipairs(try('HKEYS', key)) do
    if tonumber(string.match(field, '^%d+') or oldest) < oldest then
      old[#old + 1] = field
    end
  end
  if #old > 0 then
    try('HDEL', key, unpack(old))
  end
end

local function add_to_bucket(key, size, longest, when, delta, count)
  local number, kept = math.floor(when / size), longest / size + 1
  local bucket = string.format('%d', number)
  if try('HEXISTS', key, bucket) == 0 then
    drop_old_buckets(key, number - kept + 1, count and 2 * kept or kept)
  end
  if try('HINCRBYFLOAT', key, bucket, delta) then
    if count then
      try('HINCRBYFLOAT', key, bucket .. '#', count)
    end
    try('PEXPIRE', key, (longest + size) * 1000)
  end
end

local key = 2
for argument = 6, #ARGV, 4 do
  local usage, samples, total = KEYS[key], KEYS[key + 1], KEYS[key + 2]
  local delta, age = ARGV[argument + 1], tonumber(ARGV[argument + 3])
  local count = ARGV[argument] == 'mean' and ARGV[argument + 2]
  if age * 1000 < tonumber(ARGV[3]) then
    if count then
      add_samples(usage, samples, delta, count)
    else
      add_amount(usage, delta)
    end
  end
  if count then
    try('HINCRBYFLOAT', total, 'sum', delta)
    try('HINCRBYFLOAT', total, 'count', count)
  else
    try('INCRBYFLOAT', total, delta)
  end
  for place, level in ipairs(levels) do
    if age <= level[2] then
      add_to_bucket(KEYS[key + 2 + place], level[1], level[2], now - age, delta, count)
    end
  end
  key = key + 3 + #levels
end

return fault or 1
