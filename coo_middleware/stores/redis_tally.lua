-- How the scripts of limits read one limit, bring it up to the moment, and write it: as core/ledger.py does.
-- KEYS[1]: the clock: the latest moment, and by how much it has been set back altogether. Then for each limit
--   a string of floats of 8 bytes: the state, as in STATE; what was taken in each of the last RING grains; and, once
--     there are any, the promises of these grains. A grain has the place of its number modulo RING;
--   a hash of tickets: the grain and the amount of a reservation, the grain alone of one that has lapsed;
--   a sorted set of tickets by the moment at which the lease ends, or at which a lapsed one's grain leaves the window.
-- ARGV[1]: now in seconds, or '' for the server's clock.

local GRAINS, RING, SLACK = 256, 257, 1e-9
-- How many leases are read at a time, and how many may end while nobody else is served.
local STEP, MOST = 16, 1000
-- The window; the grain of the last moment; the last grain of which something counts; what counts; the sum of all
-- promises; before when no lease ends; until when the keys live.
local STATE, STATE_BYTES = '<ddddddd', 56
local AMOUNTS, PROMISES = STATE_BYTES, STATE_BYTES + 8 * RING
-- What is left of a difference, as a share of what was taken off, that is nothing but rounding.
local DUST = 1e-12
-- Longer than the longest window and a lease; the shorter is disorder among those who tell the time.
local CLOCK_MILLISECONDS, DISORDER = 8640000000, 1
-- Keys live longer by so many seconds, so that their end is not put off each time.
local SPARE = 60

-- The moment by a clock that is never set back: it stands still for that moment, and runs on from there.
local function elapse(now)
  if not now then
    local time = redis.call('TIME')
    now = time[1] + time[2] / 1000000
  end
  local latest, behind, kept = now, 0, redis.call('GET', KEYS[1])
  if kept then
    latest, behind = struct.unpack('<dd', kept)
  end
  if now < latest - DISORDER then
    behind = behind + latest - now
  else
    now = math.max(now, latest)
  end
  -- The first write: whatever forbids writing (READONLY, OOM, MISCONF, NOREPLICAS) ends the script with nothing done.
  redis.call('SET', KEYS[1], struct.pack('<dd', now, behind), 'PX', CLOCK_MILLISECONDS)
  return now + behind
end

local now = elapse(tonumber(ARGV[1]))

local function number_of(tally)
  return tally.window > 0 and math.max(tally.last, math.floor(now * GRAINS / tally.window)) or 0
end

local function leaves(tally, number)
  return (number + GRAINS + 1) * tally.window / GRAINS
end

local function pack(tally)
  return struct.pack(STATE, tally.window, tally.last, tally.newest, tally.total, tally.promised, tally.earliest,
    tally.kept)
end

local function save(tally)
  local state = pack(tally)
  if state ~= tally.saved and not tally.is_new then
    redis.call('SETRANGE', tally.key, 0, state)
  end
end

local function save_all(tallies)
  for _, tally in ipairs(tallies) do
    if tally then
      save(tally)
    end
  end
end

-- All amounts, or all promises, as they are stored; `pick` finds the one of a grain.
local function get_ring(tally, ring)
  return redis.call('GETRANGE', tally.key, ring, ring + 8 * RING - 1)
end

local function pick(floats, number)
  local place = 8 * (number % RING)
  return place < #floats and struct.unpack('<d', floats, place + 1) or 0
end

-- Puts another amount, or promise, in the place of a grain's, and returns the one before.
local function change(tally, ring, number, calculate)
  local place = ring + 8 * (number % RING)
  local float = redis.call('GETRANGE', tally.key, place, place + 7)
  local before = #float == 8 and struct.unpack('<d', float) or 0
  local after = calculate(before)
  if after ~= before then
    redis.call('SETRANGE', tally.key, place, struct.pack('<d', after))
  end
  return before, after
end

-- Empties the places that the last `steps` grains take over, and returns the sum of the others.
local function clear(tally, ring, steps)
  local floats, sum = get_ring(tally, ring), 0
  for age = GRAINS, steps, -1 do
    sum = sum + pick(floats, tally.last - age)
  end
  local first = (tally.last - steps + 1) % RING
  local behind = math.min(steps, RING - first)
  for _, gap in ipairs({{first, behind}, {0, steps - behind}}) do
    if gap[2] > 0 and 8 * gap[1] < #floats then
      redis.call('SETRANGE', tally.key, ring + 8 * gap[1], string.rep('\0', 8 * gap[2]))
    end
  end
  return sum
end

-- Lets go of the grains that have left the window.
local function sweep(tally, number)
  local steps = number - tally.last
  tally.last = number
  if steps > GRAINS then
    tally.total, tally.promised, tally.newest = 0, 0, -math.huge
    redis.call('SET', tally.key, pack(tally), 'KEEPTTL')
    return
  end
  -- Added up again, so that no rounding stays.
  tally.total = clear(tally, AMOUNTS, steps)
  if tally.promised > 0 then
    tally.promised = clear(tally, PROMISES, steps)
  end
  if tally.newest < number - GRAINS then
    tally.newest = -math.huge
  end
end

-- Shows what each reservation took and when its lease ends, the earliest first, until `see` has seen enough.
local function walk_leases(tally, see)
  local first, leases = 0
  repeat
    leases = redis.call('ZRANGE', tally.leases, first, first + STEP - 1, 'WITHSCORES')
    local tickets = {}
    for place = 1, #leases, 2 do
      tickets[#tickets + 1] = leases[place]
    end
    for place, hold in ipairs(#tickets > 0 and redis.call('HMGET', tally.holds, unpack(tickets)) or {}) do
      if hold and see(struct.unpack('<d', hold, 9), tonumber(leases[2 * place])) then
        return
      end
    end
    first = first + STEP
  until #leases < 2 * STEP
end

local function count(tally, amount)
  local total = tally.total + amount
  tally.total = total < -amount * DUST and 0 or total
end

-- Puts so much more, or less, into a grain, as long as it counts.
local function charge(tally, number, amount)
  if number < tally.last - GRAINS then
    return
  end
  local before, after = change(tally, AMOUNTS, number, function(before)
    return before + amount < -amount * DUST and 0 or math.max(0, before + amount)
  end)
  count(tally, after - before)
  if after ~= 0 then
    tally.newest = math.max(tally.newest, number)
  elseif tally.newest == number then
    local floats, age = get_ring(tally, AMOUNTS), tally.last - number
    while age <= GRAINS and pick(floats, tally.last - age) == 0 do
      age = age + 1
    end
    tally.newest = age <= GRAINS and tally.last - age or -math.huge
  end
end

-- The grain and the amount of a reservation; no amount where it has lapsed, nothing where it was settled.
local function find(tally, ticket)
  local hold = tally and redis.call('HMGET', tally.holds, ticket)[1]
  if hold then
    return struct.unpack('<d', hold), #hold == 16 and struct.unpack('<d', hold, 9) or nil
  end
end

local function forget(tally, ticket)
  redis.call('ZREM', tally.leases, ticket)
  redis.call('HDEL', tally.holds, ticket)
end

-- Gives back what was taken under a lease that has ended, and keeps in mind where, for as long as its grain counts.
local function lapse(tally, ticket)
  local number, amount = find(tally, ticket)
  if not number or tally.window == 0 or number < tally.last - GRAINS then
    forget(tally, ticket)
    if tally.window == 0 then
      count(tally, -(amount or 0))
    end
  elseif amount then
    charge(tally, number, -amount)
    redis.call('HSET', tally.holds, ticket, struct.pack('<d', number))
    redis.call('ZADD', tally.leases, leaves(tally, number), ticket)
  end
end

local function advance(tally)
  local number = number_of(tally)
  if number > tally.last then
    sweep(tally, number)
  end
  if tally.earliest <= now then
    for _, ticket in ipairs(redis.call('ZRANGEBYSCORE', tally.leases, '-inf', now, 'LIMIT', 0, MOST)) do
      lapse(tally, ticket)
    end
    tally.earliest = tonumber(redis.call('ZRANGE', tally.leases, 0, 0, 'WITHSCORES')[2] or math.huge)
  end
end

-- The limit of the keys at `place`, as it stands now: a new one where it had another window than the one given, and nil
-- where none is given and the limit is not known.
local function read(place, window)
  local tally = {key = KEYS[place], holds = KEYS[place + 1], leases = KEYS[place + 2]}
  tally.saved = redis.call('GETRANGE', tally.key, 0, STATE_BYTES - 1)
  if #tally.saved == STATE_BYTES then
    tally.window, tally.last, tally.newest, tally.total, tally.promised, tally.earliest, tally.kept =
      struct.unpack(STATE, tally.saved)
    if not window or window == tally.window then
      advance(tally)
      return tally
    end
    redis.call('DEL', tally.key, tally.holds, tally.leases)
    tally.saved = nil
  end
  if window then
    tally.is_new, tally.window, tally.last, tally.newest, tally.total = true, window, -math.huge, -math.huge, 0
    tally.promised, tally.earliest, tally.kept = 0, math.huge, -math.huge
    return tally
  end
end

-- All limits; false in the place of one that is not known.
local function read_all(windows)
  local tallies = {}
  for number = 1, (#KEYS - 1) / 3 do
    tallies[number] = read(3 * number - 1, windows[number]) or false
  end
  return tallies
end

-- Lets a lease begin, and all keys live until it has ended and its grain has left.
local function lease(tally, ticket, seconds)
  local enough = now + seconds + tally.window * (GRAINS + 2) / GRAINS
  redis.call('ZADD', tally.leases, now + seconds, ticket)
  tally.earliest = math.min(tally.earliest, now + seconds)
  local is_late = tally.kept < enough
  tally.kept = is_late and enough + SPARE or tally.kept
  local left = string.format('%.0f', math.min(1e14, math.ceil((tally.kept - now) * 1000)))
  -- These two may be new, since they are gone while nothing is reserved.
  redis.call('PEXPIRE', tally.holds, left)
  redis.call('PEXPIRE', tally.leases, left)
  if is_late then
    redis.call('PEXPIRE', tally.key, left)
  end
end
