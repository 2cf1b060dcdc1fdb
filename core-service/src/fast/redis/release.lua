-- Units leave what a user holds, never below 0, and return to the counters that exist. Of a paid order no
-- counter is named: its units stay taken.
-- KEYS: held, then one left counter for each item that returns (all of one hash tag)
-- ARGV: TTL of held (ms), units in all, then the units of each item
-- A counter that is missing or no plain integer stays as it is: the ledger's figure will replace it.
local function integer(value)
  if type(value) ~= 'string' or #value > 16 or not string.match(value, '^-?%d+$') then return nil end
  return tonumber(value)
end

local values = redis.call('MGET', unpack(KEYS))
for index = 1, #KEYS - 1 do
  if integer(values[index + 1]) then redis.call('INCRBY', KEYS[index + 1], ARGV[index + 2]) end
end
local held = integer(values[1])
if held and held > tonumber(ARGV[2]) then
  redis.call('SET', KEYS[1], string.format('%.0f', held - tonumber(ARGV[2])), 'PX', ARGV[1])
else
  redis.call('DEL', KEYS[1])
end
return 1
