-- Takes a lease, or renews the owner's own.
-- KEYS: the lease
-- ARGV: the owner, TTL (ms)
-- Returns 1 if the owner has it now, else 0.
if redis.call('SET', KEYS[1], ARGV[1], 'NX', 'PX', ARGV[2]) then return 1 end
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
return redis.call('PEXPIRE', KEYS[1], ARGV[2])
