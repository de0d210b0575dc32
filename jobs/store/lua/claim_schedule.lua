-- include: job
-- Claim a due time of a schedule, or a start by hand, for one job. Whoever claims it submits the job; if they die before,
-- whoever looks next does, because the claim stays until the job is there.
--   KEYS     1 schedule hash   2 its jobs, newest first
--   ARGV     1 seen_ms as the caller knows it, or '' for a start by hand   2 definition by which the caller goes, or ''
--            3 due time (ms)   4 ID of the job   5 who starts it   6 now (ms)   7 name of the schedule
--   returns  {'claimed'}
--            {'lost'}                     another worker was first, or it goes by other settings now
--            {'unfinished', job, state}   the last job has not ended: a due time is skipped, which is counted
--            {'expired', job}             the last job's plan can no longer be approved: cancel it, and try again
local schedule, jobs, due_ms, job_id, now = KEYS[1], KEYS[2], ARGV[3], ARGV[4], tonumber(ARGV[6])
local by_hand = ARGV[1] == ''
if by_hand and redis.call('HGET', schedule, 'claim:' .. job_id) == ARGV[5] then
  return { 'claimed' }  -- by an earlier try of this same call
end
if not by_hand then
  local facts = redis.call('HMGET', schedule, 'seen_ms', 'definition')
  if facts[1] ~= ARGV[1] or facts[2] ~= ARGV[2] then
    return { 'lost' }
  end
end
local last = redis.call('LRANGE', jobs, 0, 0)[1]
if last then
  local facts = redis.call('HMGET', JOB .. last, 'state', 'plan_expires_ms', 'schedule')
  -- A job that somebody else submitted under its ID is none of the schedule's.
  local state = facts[3] == ARGV[7] and facts[1]
  if state == 'awaiting_approval' and facts[2] and tonumber(facts[2]) <= now then
    return { 'expired', last }
  end
  -- A job that does not exist has not been submitted yet, or was forgotten long after its end.
  local ended = state and redis.call('ZSCORE', FINISHED, last) or not state
  if redis.call('HEXISTS', schedule, 'claim:' .. last) == 1 or not ended then
    if not by_hand then
      redis.call('HSET', schedule, 'seen_ms', due_ms, 'skipped_ms', due_ms, 'skipped_for', last)
      redis.call('HINCRBY', schedule, 'skipped', 1)
    end
    return { 'unfinished', last, state or 'planning' }
  end
end
redis.call('HSET', schedule, 'claim:' .. job_id, ARGV[5], 'started_ms', now)
redis.call('HDEL', schedule, 'held')
if not by_hand then
  redis.call('HSET', schedule, 'seen_ms', due_ms)
end
redis.call('LPUSH', jobs, job_id)
redis.call('LTRIM', jobs, 0, MOST_SCHEDULED_JOBS - 1)
return { 'claimed' }
