-- include: clock events job item canary actions faults pace plan steer
-- Accept a job, all or nothing: its list has been staged, and becomes visible in this one step.
--   KEYS     1 job hash   2 staged segments   3 portal hash   4 index of jobs
--   ARGV     1 job ID   2 digest of portal and list   3 first state   4 state_reason or ''
--            5 who submits, or '' if that is not known
--            6 event that a user asked for before the job was accepted, or ''   7 who asks   8 token of that request
--            9 state_reason of a pause   10 terms of an approval, JSON (see control)
--            11… further fields and values of the job hash: portal, label, total, duplicates, …
--   returns  {'created', state}   also if this call is repeated, which is recognised by the name of its staged list
--            {'exists', digest}   the ID is taken; by the same request if the digest is the same
--   raises   NOTSTAGED: the staged list is gone (it expires after an hour) or incomplete: parts of it may have been
--            lost when the server failed over
local job, staged, portal = KEYS[1], KEYS[2], KEYS[3]
local job_id, digest, state, reason = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local taken = redis.call('HGET', job, 'digest')
if taken and redis.call('HGET', job, 'staged_as') == staged then
  return { 'created', redis.call('HGET', job, 'state') }
elseif taken then
  redis.call('UNLINK', staged)
  return { 'exists', taken }
end
local total
for index = 11, #ARGV, 2 do
  if ARGV[index] == 'total' then
    total = tonumber(ARGV[index + 1])
  end
end
if redis.call('HLEN', staged) ~= math.ceil(total / SEGMENT_SIZE) then
  return redis.error_reply('NOTSTAGED not all contact IDs of job ' .. job_id .. ' are in Redis')
end
local now = now_ms()
if total > 0 then
  redis.call('RENAME', staged, job .. SEGMENTS)
  redis.call('PERSIST', job .. SEGMENTS)
end
redis.call('HSET', job, 'digest', digest, 'state', state, 'created_ms', now, 'cursor', 0, 'inflight', 0,
  'staged_as', staged, unpack(ARGV, 11))
redis.call('HSET', job, 'n:pending', redis.call('HGET', job, 'total'))
if reason ~= '' then
  redis.call('HSET', job, 'state_reason', reason)
end
if ARGV[5] ~= '' then
  redis.call('HSET', job, 'submitted_by', ARGV[5])
  note_action(job, ARGV[5], 'submit', '', now)
end
redis.call('ZADD', KEYS[4], now, job_id)
list_job(job, nil, state)
if state == 'queued' or state == 'planning' then
  activate(portal, job_id)
  after_change(portal, job, job_id, now)
elseif state == 'awaiting_approval' then
  tell_of_job(job, 'job.awaiting_approval', now)
end
if ARGV[6] ~= '' then
  local steered, told = steer(portal, job, job_id, ARGV[6], ARGV[9], ARGV[7], ARGV[8], cjson.decode(ARGV[10]), now)
  state = steered or told
end
return { 'created', state }
