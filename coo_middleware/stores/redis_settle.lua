-- Puts what was used in the place of what was reserved, once.
-- KEYS: KEYS[1] is the clock, then each limit's three, as in redis_tally.lua. ARGV: now; then for each take that is
--       settled the number of the limit, the ticket, how much was used.

local tallies = read_all({})

for argument = 2, #ARGV, 3 do
  local tally, ticket = tallies[tonumber(ARGV[argument])], ARGV[argument + 1]
  local number, amount = find(tally, ticket)
  if number then
    forget(tally, ticket)
    if tally.window > 0 then
      charge(tally, number, ARGV[argument + 2] - (amount or 0))
    else
      count(tally, -(amount or 0))
    end
  end
end

save_all(tallies)
return 1
