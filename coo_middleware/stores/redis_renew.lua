-- Lets the leases of tickets that have not lapsed run from now on.
-- KEYS: KEYS[1] is the clock, then each limit's three, as in redis_tally.lua. ARGV: now, the lease in seconds; then for
--       each take the number of the limit, the ticket, an amount, which does not matter.

local tallies, seconds = read_all({}), tonumber(ARGV[2])

for argument = 3, #ARGV, 3 do
  local tally, ticket = tallies[tonumber(ARGV[argument])], ARGV[argument + 1]
  local number, amount = find(tally, ticket)
  if amount then
    lease(tally, ticket, seconds)
  end
end

save_all(tallies)
return 1
