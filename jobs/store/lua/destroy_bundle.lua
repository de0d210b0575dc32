-- Note that a bundle is about to be destroyed, so that nothing is sent any more in reliance on it. Its objects are
-- removed from the store after this.
--   KEYS[1]  job hash
--   ARGV     1 job ID   2 bundle ID   3 now_ms by the caller's reading of this server's clock
--   returns  'destroyed'   nothing relies on the bundle: it is the job's no more, or never was, or its job has ended
--            'in_use'      the job has not ended
local job, job_id, bundle_id = KEYS[1], ARGV[1], ARGV[2]
local facts = redis.call('HMGET', job, 'bundle_id', 'bundle')
if facts[1] ~= bundle_id or facts[2] == 'destroyed' then
  return 'destroyed'
elseif not redis.call('ZSCORE', FINISHED, job_id) then
  return 'in_use'
end
redis.call('HSET', job, 'bundle', 'destroyed', 'bundle_destroyed_ms', ARGV[3])
redis.call('UNLINK', job .. KEPT, job .. OBJECTS)
return 'destroyed'
