-- include: clock events job item canary actions faults pace plan steer
-- Carry out what a person asked of a job, if its state allows it now.
--   KEYS     1 job hash   2 portal hash
--   ARGV     1 job ID   2 event: pause, resume, cancel or approve   3 state_reason of a pause
--            4 who asks   5 token of this request: sending it a second time changes nothing more
--            6 terms of an approval, JSON: {digest, second_person_above, max_share, cooling_off_ms} (includes/plan.lua)
--            7 the states in which it may be done, JSON; [] for each that the table of moves allows
--   returns  {'ok', state, rest_ms}   rest_ms: end of the rest that the portal had asked for and this cut short, or 0
--            {'illegal', state}   {'unknown'}
--            {'forbidden', why}   the approval: digest_needed, plan_changed, plan_expired, blast_radius, second_person
local job, portal, job_id, event, only_in = KEYS[1], KEYS[2], ARGV[1], ARGV[2], cjson.decode(ARGV[7])
if redis.call('EXISTS', job) == 0 then
  return { 'unknown' }
elseif was_done(job, ARGV[5]) then
  return { 'ok', redis.call('HGET', job, 'state'), 0 }
end
if #only_in > 0 then
  local now_in, allowed = redis.call('HGET', job, 'state'), false
  for _, state in ipairs(only_in) do
    allowed = allowed or state == now_in
  end
  if not allowed then
    return { 'illegal', now_in }
  end
end
local state, told, forbidden = steer(portal, job, job_id, event, ARGV[3], ARGV[4], ARGV[5], cjson.decode(ARGV[6]),
  now_ms())
if forbidden then
  return { 'forbidden', forbidden }
elseif not state then
  return { 'illegal', told }
end
return { 'ok', state, told }
