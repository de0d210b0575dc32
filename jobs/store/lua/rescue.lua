-- include: clock events job item lease survey
-- Take back the batches of dead lanes: their leases have lapsed, so their results will never be recorded. What was
-- marked as sent may have been deleted, so it is looked up before anything else happens to it.
--   KEYS[1]  portal hash
--   ARGV     1 settle_ms: how long the portal may still be working on a call whose caller has died
--   returns  {{job_id, seq, call, contact IDs}, …}
local portal = KEYS[1]
local now, wall = steady_ms()
local leases, claims = portal .. LEASES, portal .. CLAIMS
local held = redis.call('HGETALL', claims)
local rescued = {}
for index = 1, #held, 2 do
  local claim_key = held[index]
  local lapses = redis.call('ZSCORE', leases, holder_of(claim_key))
  if not lapses or tonumber(lapses) <= now then
    local claim = cmsgpack.unpack(held[index + 1])
    local seq, job_id, call = claim[1], claim[2], claim[3]
    local job, size = JOB .. job_id, 0
    redis.call('HDEL', claims, claim_key)
    for at = 4, #claim do
      local item_id, due = claim[at], now
      size = size + size_of(item_id)
      if call == PUT then
        redis.call('HSET', job .. ITEMS, item_id, doubtful_item(redis.call('HGET', job .. ITEMS, item_id)))
        due = now + tonumber(ARGV[1])
      end
      redis.call('ZADD', job .. DUE[LOOK_UP], due, item_id)
    end
    if call == SURVEY then
      give_step_back(job)
    end
    redis.call('HINCRBY', job, 'inflight', -1)
    local state = redis.call('HGET', job, 'state')
    if state == 'running' or state == 'cancelling' or call == SURVEY and (state == 'planning' or state == 'queued') then
      activate(portal, job_id)
    end
    after_change(portal, job, job_id, wall)
    rescued[#rescued + 1] = { job_id, seq, call, size }
  end
end
-- A lease that has lapsed is gone, or a lane could revive it after its batch was taken away.
redis.call('ZREMRANGEBYSCORE', leases, '-inf', now)
return rescued
