-- A token bucket (https://en.wikipedia.org/wiki/Token_bucket), counted in parts: 60,000 to the token, so that
-- n tokens a minute are n parts a millisecond, in integers.
-- KEYS: the bucket, a hash of level (parts) and at (ms)
-- ARGV: capacity (parts), speed (parts a ms), now (ms), slack (ms) by which it outlives its refill
-- Returns -1 if a token was taken, else after how many ms there will be one.
local PARTS = 60000
local full, speed, now = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])

local function wait(parts) return math.ceil(parts / speed) end

if redis.call('TYPE', KEYS[1]).ok ~= 'hash' then redis.call('DEL', KEYS[1]) end
local bucket = redis.call('HMGET', KEYS[1], 'level', 'at')
local level, at = tonumber(bucket[1]), tonumber(bucket[2])
if level and at then
  level = math.min(full, level + math.max(0, now - at) * speed)
  at = math.max(at, now)
else
  level, at = full, now
end

local answer = -1
if level >= PARTS then level = level - PARTS else answer = wait(PARTS - level) end

redis.call('HSET', KEYS[1], 'level', string.format('%.0f', level), 'at', string.format('%.0f', at))
redis.call('PEXPIRE', KEYS[1], string.format('%.0f', wait(full - level) + tonumber(ARGV[4])))
return answer
