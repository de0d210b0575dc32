-- Give back the lease of a job's restore.
--   KEYS[1]  job hash
--   ARGV     1 token
--   returns  1: it was held   0: another process holds it
local restore = KEYS[1] .. RESTORING
if redis.call('HGET', restore, 'holder') ~= ARGV[1] then
  return 0
end
redis.call('HDEL', restore, 'holder', 'until_ms', 'by', 'since_ms')
return 1
