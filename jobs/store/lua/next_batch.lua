-- include: clock events job item canary lease claim faults pace retry_budget survey plan gates keeping choice hand_out
-- Give a lane its next batch: renew its lease, choose a job fairly, keep the portal's rate, and mark the batch as sent.
-- The mark is the claim: it is in Redis before the call leaves, so that after a crash it tells which contact IDs may
-- have been deleted by a call whose answer no one read.
--   KEYS[1]  portal hash
--   ARGV     1 lane token   2 ttl_ms   3 batch_size   4 look_up_size: most contact IDs of one look-up
--            5 linger_ms: how long a small look-up may wait to be joined by others
--            6 ceiling, calls/s   7 burst   8 max_wait_us   9 turn_us: the reserved turn that the lane waited for, or 0
--            10 batch_size_max   11 retry_interval_us: room that each retry takes at the ceiling
--            12 place of the claim, 0 or 1: a free one, as far as the lane knows   13 cuts, as returned with the turn
--            14 max_concurrency   15 fingerprint of the lane's configuration   16 longest_rest_ms
--            17 fingerprint of the portal's address, or '' if that does not matter
--            18 msgpack map (jobs/lanes/gates.py), what the portal's guards say:
--               from_ms, until_ms     the time for which the rest is true
--               is_open, opens_ms     whether the portal's windows are open, and when they open (0: not known)
--               most_per_day          contact IDs in the PUTs of one day at most, or 0
--               day, day_ends_ms      name of the day, and its end
--               undo_required         whether every job keeps a bundle
--               conditions            under which the lane would send what a plan says (jobs/plan/digest.py)
--            19 number of this request: the lane's first, second, …
--   returns  {'batch', seq, job_id, state, now_ms, call, batch_size, digest, most, plan_digest, rechecks,
--              canary_state, bundle_id, bundle_late, item, item, …}   the lane holds this batch; of a PUT it may send `most` contact IDs (-1: all)
--                                and gives the others back; a step of a survey has no items
--            {'outdated', now_ms}   argument 18 is not about this moment: ask again with what is
--            {'turn', wait_us, turn_us, cuts}   a turn is reserved: wait, then ask again with it
--            {'later', wait_us}   the next turn is too far away to wait for; the lease is given back (see let_go)
--            {'idle', wait_ms}    nothing to do, until wait_ms from now (-1: not known); the lease is given back
--            {'surplus'}          more lanes hold leases than calls may be in flight; this lease is given back
--            {'lost'}             the lease has lapsed
local portal, token, place = KEYS[1], ARGV[1], ARGV[12]
local ceiling, fingerprint, request = tonumber(ARGV[6]), ARGV[15], ARGV[#ARGV]
local clock_us, wall_us = wakeful_us()
local now, wall = math.floor(clock_us / 1000), math.floor(wall_us / 1000)
if not keep_lease(portal, token, now, tonumber(ARGV[2])) then
  return { 'lost' }
end
local told = cmsgpack.unpack(ARGV[18])
if wall < told.from_ms or wall >= told.until_ms then
  return { 'outdated', wall }
end

local pacing = redis.call('HMGET', portal, 'batch_size', 'push_back_until_ms', 'retry_tat_us', 'rate', 'rate_cuts',
  'set_rate', 'set_concurrency', 'careful')
local batch_size = math.min(tonumber(pacing[1]) or tonumber(ARGV[3]), tonumber(ARGV[10]))
local pushed_back = (tonumber(pacing[2]) or 0) > now and bound_rest(portal, now, tonumber(ARGV[16])) > now
local fault_until = held_until(portal, fingerprint)
local cuts = tonumber(pacing[5]) or 0
local has_turn = tonumber(ARGV[13]) == cuts and is_fresh(tonumber(ARGV[9]), clock_us, tonumber(pacing[4]) or ceiling)
local retry_interval_us = pacing[6] and tonumber(ARGV[11]) * ceiling / tonumber(pacing[6]) or tonumber(ARGV[11])
local budget = retry_budget(portal, clock_us, retry_interval_us, tonumber(pacing[3]) or 0)

-- A lane asks for a place whose last batch it has settled. If this very request has put a claim there, its reply was
-- lost and nothing was sent. Any other claim has been settled, but a fail-over undid that: it was sent, so it is left to
-- be rescued.
local claim_key = token .. '/' .. place
local held = read_claim(portal, claim_key)
if held and held.request ~= request then
  redis.call('ZREM', portal .. LEASES, token)
  return { 'lost' }
elseif held then
  count_back(portal, held.day, held.counted or 0)
  return deliver(portal, claim_key, held, redis.call('HGET', JOB .. held[2], 'state'), wall, batch_size, told)
end

if are_too_many(portal, now, tonumber(pacing[7]) or tonumber(ARGV[14])) then
  let_go(portal, token, place)
  return { 'surplus' }
end

-- A fault stops every job for workers with the configuration that met it, until a person has fixed it or time has
-- passed. Workers with another configuration go on; a wake-up that was meant for them is passed on soon, but never in a
-- hot loop.
if fault_until > now then
  let_go(portal, token, place)
  if others_can(portal, fingerprint, now) then
    return { 'idle', redis.call('ZCARD', portal .. ACTIVE) > 0 and 500 or -1 }
  end
  return { 'idle', fault_until - now }
end

local gate = portal_gate(portal, wall, told)
local offered, job_id, turn = choose(portal, {
  now = now,
  wall = wall,
  clock_us = clock_us,
  look_up_size = tonumber(ARGV[4]),
  linger = tonumber(ARGV[5]),
  retry_turn_us = budget.turn_us,
  address = ARGV[17],
  puts_held_until = gate.held_until,
  conditions = told.conditions,
  undo_required = told.undo_required,
  worker = string.match(token, '^(.*):[^:]*$') or token,
})
if not offered then
  let_go(portal, token, place)
  local soonest = redis.call('ZRANGE', portal .. WAITING, 0, 0, 'WITHSCORES')[2]
  return { 'idle', soonest and math.max(tonumber(soonest) - now, 0) or -1 }
end

-- After a long rest one call goes alone, whichever lane makes it, and the others wait for its result. If its worker
-- dies, its claim is rescued, and another call takes its place.
if pacing[8] and redis.call('HLEN', portal .. CLAIMS) > 0 then
  let_go(portal, token, place)
  return { 'later', 1000000 }
end

-- A turn that has not come yet is waited for again: the server was away or frozen while the lane waited. A push-back that
-- came meanwhile takes the turn away again.
local turn_us = tonumber(ARGV[9])
if not pushed_back and turn_us > clock_us and tonumber(ARGV[13]) == cuts then
  return { 'turn', turn_us - clock_us, turn_us, cuts }
elseif not has_turn or pushed_back then
  local wait_us, away_us = reserve(portal, clock_us, ceiling, tonumber(ARGV[7]), tonumber(ARGV[8]))
  if not wait_us then
    let_go(portal, token, place)
    return { 'later', away_us }
  end
  if wait_us > 0 then
    return { 'turn', wait_us, clock_us + wait_us, cuts }
  end
end

local job = JOB .. job_id
if offered.is_retry then
  use_retry(portal, clock_us, budget)
end
local stride, state, item_ids = redis.call('HGET', job, 'stride') or 1, nil, {}
if offered[1] == SURVEY then
  state, stride = redis.call('HGET', job, 'state'), math.max(tonumber(stride), SURVEY_STRIDE)
  take_step(job, turn, stride)
  if offered.keeps then
    leave_to(portal, job, job_id, string.match(token, '^(.*):[^:]*$') or token, now)
  end
else
  local before
  state, before = move(job, 'start')
  item_ids = take(job, offered, state == 'cancelling' and batch_size or math.min(batch_size, gate.left))
  if before == 'queued' then
    redis.call('HDEL', job, 'state_reason')
    if redis.call('HSETNX', job, 'started_ms', wall) == 1 then
      tell_of_job(job, 'job.started', wall)
    end
  end
end
redis.call('HINCRBY', job, 'inflight', 1)
redis.call('HSET', portal, 'turn', turn)
redis.call('ZINCRBY', portal .. ACTIVE, stride, job_id)
local claim = { redis.call('HINCRBY', portal, 'seq', 1), job_id, offered[1], unpack(item_ids) }
claim.request = request
return deliver(portal, claim_key, claim, state, wall, batch_size, told, gate)
