-- include: clock events job actions
-- Keep a request that cannot be accepted as a failed job, so that its sender finds out what was wrong. Nothing is ever
-- sent for it, and it is forgotten like other jobs.
--   KEYS     1 job hash   2 index of jobs
--   ARGV     1 job ID   2 digest of what was wrong   3 who submits
--            4… further fields and values of the job hash: portal, label, last_error, …
--   returns  {'created'}
--            {'exists', digest}   the ID is taken; by the same refusal if the digest is the same
local job, job_id = KEYS[1], ARGV[1]
local taken = redis.call('HGET', job, 'digest')
if taken then
  return { 'exists', taken }
end
local now = now_ms()
redis.call('HSET', job, 'digest', ARGV[2], 'state', 'failed', 'created_ms', now, 'finished_ms', now, 'total', 0,
  'duplicates', 0, 'cursor', 0, 'inflight', 0, 'n:pending', 0, unpack(ARGV, 4))
note_action(job, ARGV[3], 'submit', '', now)
redis.call('ZADD', KEYS[2], now, job_id)
list_job(job, nil, 'failed')
redis.call('ZADD', FINISHED, now, job_id)
tell_of_job(job, 'job.failed', now)
return { 'created' }
