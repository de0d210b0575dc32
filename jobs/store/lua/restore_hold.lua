-- include: job
-- Take or renew the lease of a job's restore: the right to create its contacts again and to write its ledger.
--   KEYS[1]  job hash
--   ARGV     1 token   2 ttl_ms   3 who restores
--   returns  {1, by, since_ms, until_ms}: the lease is held   {0, by, since_ms, until_ms}: another process holds it
--            {-1, '', 0, 0}: no such job
local restore, now = KEYS[1] .. RESTORING, now_ms()
if redis.call('HEXISTS', KEYS[1], 'state') == 0 then
  return { -1, '', 0, 0 }
end
local facts = redis.call('HMGET', restore, 'holder', 'until_ms', 'by', 'since_ms')
-- A lapsed lease that nobody has taken meanwhile can be renewed: the token in the hash is what a write checks.
if facts[1] and facts[1] ~= ARGV[1] and tonumber(facts[2]) > now then
  return { 0, facts[3], facts[4], facts[2] }
end
local since = facts[1] == ARGV[1] and facts[4] or now
redis.call('HSET', restore, 'holder', ARGV[1], 'until_ms', now + tonumber(ARGV[2]), 'renewed_ms', now, 'by', ARGV[3],
  'since_ms', since)
return { 1, ARGV[3], since, now + tonumber(ARGV[2]) }
