-- Sets counters from the ledger, whatever was there, or only where nothing readable is.
-- KEYS: left counters (all of one hash tag)
-- ARGV: 1 to overwrite, else 0; then the units left of each
local function integer(value)
  return type(value) == 'string' and #value <= 16 and string.match(value, '^-?%d+$')
end

local values = redis.call('MGET', unpack(KEYS))
for index, key in ipairs(KEYS) do
  if ARGV[1] == '1' or not integer(values[index]) then redis.call('SET', key, ARGV[index + 1]) end
end
return 1
