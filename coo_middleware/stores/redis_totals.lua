-- The totals of some counters as texts, '' where there is none.
-- KEYS: a total of each, from KEYS[1] on. ARGV: for each 'sum' or 'mean'.

local totals = {}
for place = 1, #KEYS do
  if ARGV[place] == 'mean' then
    local mean = redis.call('HMGET', KEYS[place], 'sum', 'count')
    totals[place] = mean[1] and mean[2] and string.format('%.17g', mean[1] / mean[2]) or ''
  else
    totals[place] = redis.call('GET', KEYS[place]) or ''
  end
end
return totals
