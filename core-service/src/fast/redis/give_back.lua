-- Undoes an admission, if the gate remembers the request as admitted; forgets it, so it happens once.
-- KEYS: seen, held, then one left counter for each item (all of one hash tag)
-- ARGV: TTL of held (ms), units in all, then the units of each item
-- Returns 1 if it was undone, else 0.
-- A counter that is missing or no plain integer stays as it is: the ledger's figure will replace it.
local function integer(value)
  if type(value) ~= 'string' or #value > 16 or not string.match(value, '^-?%d+$') then return nil end
  return tonumber(value)
end

if redis.call('DEL', KEYS[1]) == 0 then return 0 end

local values = redis.call('MGET', unpack(KEYS, 2))
for index = 1, #KEYS - 2 do
  if integer(values[index + 1]) then redis.call('INCRBY', KEYS[index + 2], ARGV[index + 2]) end
end
local held = integer(values[1])
if held and held > tonumber(ARGV[2]) then
  redis.call('SET', KEYS[2], string.format('%.0f', held - tonumber(ARGV[2])), 'PX', ARGV[1])
else
  redis.call('DEL', KEYS[2])
end
return 1
