-- A sliding window, exact: a log of the events within it, not a count per fixed window.
-- KEYS: the window, a sorted set of events by instant (ms)
-- ARGV: the most events, window (ms), now (ms), the event, slack (ms) by which the log outlives its last event
-- Returns -1 if the event was counted now or before, else after how many ms it would be.
local limit, window, now = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])

local function text(number) return string.format('%.0f', number) end

if redis.call('TYPE', KEYS[1]).ok ~= 'zset' then redis.call('DEL', KEYS[1]) end
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', text(now - window))
if redis.call('ZSCORE', KEYS[1], ARGV[4]) then return -1 end

local count = redis.call('ZCARD', KEYS[1])
if count < limit then
  redis.call('ZADD', KEYS[1], text(now), ARGV[4])
  redis.call('PEXPIRE', KEYS[1], text(window + tonumber(ARGV[5])))
  return -1
end
-- Once the oldest that is in the way has left, this one fits.
local place = text(count - limit)
local in_the_way = redis.call('ZRANGE', KEYS[1], place, place, 'WITHSCORES')[2]
return math.max(1, (tonumber(in_the_way) or now) + window - now)
