-- include: clock
-- Take or renew the lease of a portal's restores: the right to create contacts again and to write the ledger of that.
--   KEYS     1 the portal's lease of restores   2 hash of the job whose contacts are restored
--   ARGV     1 token   2 ttl_ms   3 who restores
--   returns  {1, …}: the lease is held   {0, …}: another process holds it
--            each with the job, by whom, since when (ms), and until when (ms on the steady clock)
--            {-1}: no such job
local lease, job, ttl_ms = KEYS[1], KEYS[2], tonumber(ARGV[2])
local now_us, wall_us = wakeful_us()
local now, wall = math.floor(now_us / 1000), math.floor(wall_us / 1000)
if redis.call('HEXISTS', job, 'state') == 0 then
  return { -1 }
end
local facts = redis.call('HMGET', lease, 'holder', 'job', 'by', 'since_ms', 'until_ms')
-- A lapsed lease that nobody has taken meanwhile can be renewed: the token in the hash is what a write checks.
if facts[1] and facts[1] ~= ARGV[1] and tonumber(facts[5]) > now then
  return { 0, facts[2], facts[3], facts[4], facts[5] }
end
local since, job_id = facts[1] == ARGV[1] and facts[4] or wall, string.sub(job, #JOB + 1)
redis.call('HSET', lease, 'holder', ARGV[1], 'job', job_id, 'by', ARGV[3], 'since_ms', since, 'until_ms', now + ttl_ms)
if facts[1] ~= ARGV[1] then
  -- The process before may have sent a call up to the end of the lease that it renewed last.
  redis.call('HSET', job .. RESTORING, 'before_ms', redis.call('HGET', job .. RESTORING, 'renewed_ms') or 0)
end
redis.call('HSET', job .. RESTORING, 'renewed_ms', now)
return { 1, job_id, ARGV[3], since, now + ttl_ms }
