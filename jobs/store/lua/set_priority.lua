-- include: job actions
-- Change how often a job gets a turn.
--   KEYS     1 job hash
--   ARGV     1 job ID   2 priority: urgent, normal or background   3 stride: how far back one turn puts the job
--            4 who asks   5 token of this request: sending it a second time changes nothing more
--   returns  {'ok'}   {'unknown'}   {'ended', state}
local job, job_id, priority, stride = KEYS[1], ARGV[1], ARGV[2], tonumber(ARGV[3])
local facts = redis.call('HMGET', job, 'state', 'finished_ms', 'portal')
if not facts[1] then
  return { 'unknown' }
elseif was_done(job, ARGV[5]) then
  return { 'ok' }
elseif facts[2] then
  return { 'ended', facts[1] }
end
redis.call('HSET', job, 'priority', priority, 'stride', stride)
-- The job need not wait for the distant turn that it got with a lower priority.
local active = PORTAL .. facts[3] .. ACTIVE
local turn = redis.call('ZSCORE', active, job_id)
local served = tonumber(redis.call('HGET', PORTAL .. facts[3], 'turn') or 0)
if turn and tonumber(turn) > served + stride then
  redis.call('ZADD', active, 'XX', served + stride, job_id)
end
note_action(job, ARGV[4], 'priority', priority, now_ms(), ARGV[5])
return { 'ok' }
