-- Admission through the gate: everything is checked before anything is taken.
-- KEYS: seen, held, then one left counter for each item (all of one hash tag)
-- ARGV: cap of held units, TTL of seen (ms), TTL of held (ms), then the units wanted of each item
-- Returns {0} admitted, {1} repeat, {2} unknown, {3, index of the item, from 1} sold out, {4} over the cap.
-- Numbers are doubles here: exact up to 2^53, far above any stock. A value that is no plain integer counts
-- as missing, so a key spoilt by somebody else costs the gate and no more.
local function integer(value)
  if type(value) ~= 'string' or #value > 16 or not string.match(value, '^-?%d+$') then return nil end
  return tonumber(value)
end

if redis.call('EXISTS', KEYS[1]) == 1 then return {1} end

local left, sold_out = {}, nil
-- MGET answers nil for a key of another type, where GET would fail.
local values = redis.call('MGET', unpack(KEYS, 2))
for index = 1, #KEYS - 2 do
  left[index] = integer(values[index + 1])
  if not left[index] then return {2} end
  if not sold_out and left[index] < tonumber(ARGV[index + 3]) then sold_out = index end
end
if sold_out then return {3, sold_out} end

local held = integer(values[1]) or 0
for index = 1, #left do held = held + tonumber(ARGV[index + 3]) end
if held > tonumber(ARGV[1]) then return {4} end

for index = 1, #left do redis.call('DECRBY', KEYS[index + 2], ARGV[index + 3]) end
if held > 0 then redis.call('SET', KEYS[2], string.format('%.0f', held), 'PX', ARGV[3]) end
redis.call('SET', KEYS[1], '1', 'PX', ARGV[2])
return {0}
