-- Takes the first of the choices that fits as a whole, or nothing: the number of the choice from 0 on, or -1; the
-- seconds until one fits; then for each take of each choice what is used and in how many seconds that is free.
-- KEYS: KEYS[1] is the clock, then each limit's three, as in redis_tally.lua. ARGV: now, the ticket, the lease in
--       seconds; then for each choice how many takes it has, and for each of those the number of the limit, the
--       window in seconds, how much there may be, how much is taken.

local ticket, seconds, windows, choices = ARGV[2], tonumber(ARGV[3]), {}, {}

local argument = 4
while argument <= #ARGV do
  local takes = {}
  for place = 1, tonumber(ARGV[argument]) do
    local own = argument + 4 * place - 3
    local number, window, limit = tonumber(ARGV[own]), tonumber(ARGV[own + 1]), tonumber(ARGV[own + 2])
    takes[place] = {place = number, window = window, limit = limit, amount = math.min(limit, tonumber(ARGV[own + 3]))}
    -- What is asked for with two windows has neither.
    windows[number] = (windows[number] or window) == window and window or -1
  end
  choices[#choices + 1] = takes
  argument = argument + 1 + 4 * #takes
end

local tallies = read_all(windows)
for _, takes in ipairs(choices) do
  for _, take in ipairs(takes) do
    take.tally = tallies[take.place]
  end
end

local function fits(take)
  return take.tally.total + take.amount <= take.limit * (1 + SLACK)
end

local function fits_all(takes)
  for _, take in ipairs(takes) do
    if not fits(take) then
      return false
    end
  end
  return true
end

local function begin(tally, window)
  -- What the server has not evicted of an earlier one.
  redis.call('DEL', tally.holds, tally.leases)
  tally.is_new, tally.window = false, window
  tally.last = number_of(tally)
  save(tally)
end

local function reserve(take)
  local tally, amount = take.tally, take.amount
  -- Nothing at the same time holds nothing.
  if take.window == 0 and amount == 0 then
    return
  end
  if tally.is_new then
    begin(tally, take.window)
  end
  redis.call('HSET', tally.holds, ticket, struct.pack('<dd', tally.last, amount))
  lease(tally, ticket, seconds)
  if tally.window > 0 then
    charge(tally, tally.last, amount)
  elseif redis.call('ZCARD', tally.leases) == 1 then
    -- Leases that the server has evicted are over.
    tally.total = amount
  else
    count(tally, amount)
  end
end

-- When a lease ends that makes room, and how much is counted where none does, as when the server has evicted them.
local function find_end(tally, needed)
  local freed, moment = 0, -math.huge
  walk_leases(tally, function(amount, ends)
    freed = freed + amount
    moment = freed >= needed and ends or moment
    return freed >= needed
  end)
  if freed < needed then
    tally.total = freed
  end
  return moment
end

-- When a take that does not fit will, and the grain that frees its place. Whoever was told to come back before counts
-- as having come, as far as one window goes.
local function find_release(take)
  local tally, slack, freed = take.tally, take.limit * SLACK, 0
  local needed = tally.total + take.amount - take.limit
  if tally.window == 0 then
    return find_end(tally, needed - slack), nil
  end
  local floats = get_ring(tally, AMOUNTS)
  needed = math.min(needed + math.fmod(tally.promised, take.limit), tally.total) - slack
  for age = GRAINS, 0, -1 do
    freed = freed + pick(floats, tally.last - age)
    if freed >= needed then
      return leaves(tally, tally.last - age), tally.last - age
    end
  end
  return -math.huge, nil
end

local function find_releases(takes)
  local latest, refused = -math.huge, {}
  for _, take in ipairs(takes) do
    if not fits(take) then
      local moment, number = find_release(take)
      latest = math.max(latest, moment)
      refused[#refused + 1] = {tally = take.tally, amount = take.amount, number = number}
    end
  end
  return latest, refused
end

local function promise()
  local earliest, chosen
  for _, takes in ipairs(choices) do
    local moment, refused = find_releases(takes)
    if not earliest or moment < earliest then
      earliest, chosen = moment, refused
    end
  end
  for _, each in ipairs(chosen) do
    if each.number then
      change(each.tally, PROMISES, each.number, function(before)
        return before + each.amount
      end)
      each.tally.promised = each.tally.promised + each.amount
    end
  end
  return math.max(0, earliest - now)
end

local function reset(tally)
  if tally.window > 0 then
    return math.max(0, leaves(tally, tally.newest) - now)
  end
  return (not tally.is_new and redis.call('ZRANGE', tally.leases, -1, -1, 'WITHSCORES')[2] or now) - now
end

local choice, wait = -1, 0
for number, takes in ipairs(choices) do
  if fits_all(takes) then
    choice = number - 1
    break
  end
end
if choice < 0 then
  wait = promise()
else
  for _, take in ipairs(choices[choice + 1]) do
    reserve(take)
  end
end

save_all(tallies)
local reply = {choice, string.format('%.17g', wait)}
for _, takes in ipairs(choices) do
  for _, take in ipairs(takes) do
    reply[#reply + 1] = string.format('%.17g', take.tally.total)
    reply[#reply + 1] = string.format('%.17g', reset(take.tally))
  end
end
return reply
