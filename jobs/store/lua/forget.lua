-- include: job
-- Remove a job that ended long ago, with everything that belongs to it.
--   KEYS     1 job hash   2 index of jobs
--   ARGV     1 job ID   2 before_ms: it must have ended by then. Another worker may have forgotten it already, and its
--            ID may be in use again.
--   returns  1: the job was removed   0: no job with this ID ended by then, or its bundle is still there
local job, job_id = KEYS[1], ARGV[1]
local ended = redis.call('ZSCORE', FINISHED, job_id)
if not ended or tonumber(ended) > tonumber(ARGV[2]) then
  return 0
end
local facts = redis.call('HMGET', job, 'total', 'state', 'bundle')
if facts[3] == 'making' or facts[3] == 'kept' then
  return 0
end
local total = tonumber(facts[1] or 0)
for segment = 0, math.ceil(total / SEGMENT_SIZE) - 1 do
  redis.call('UNLINK', job .. LEDGER .. segment, job .. RESTORED .. segment)
end
redis.call('UNLINK', job, job .. SEGMENTS, job .. ITEMS, job .. HISTORY, job .. VERDICTS,
  job .. EXCLUSIONS, job .. SAMPLE, job .. RECEIPTS, job .. KEPT, job .. OBJECTS, job .. RESTORING)
redis.call('ZREM', KEYS[2], job_id)
if facts[2] then
  redis.call('ZREM', JOBS_IN .. facts[2], job_id)
end
redis.call('ZREM', FINISHED, job_id)
return 1
