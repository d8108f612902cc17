-- A page of one server's stored responses: the next cursor, then of each its key and how it begins.
-- ARGV: the cursor, which keys, how many to look at, how many bytes of each.

local found = redis.call('SCAN', ARGV[1], 'MATCH', ARGV[2], 'COUNT', ARGV[3])
local page = {found[1]}
for _, key in ipairs(found[2]) do
  local head = redis.pcall('GETRANGE', key, 0, ARGV[4] - 1)
  if type(head) == 'string' and head ~= '' then
    page[#page + 1] = key
    page[#page + 1] = head
  end
end
return page
