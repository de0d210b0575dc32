-- Shared by the scripts: what an answer says about when the portal can be called again, on the steady clock. Portal hash: push_back_until_ms
-- (no worker calls before), push_back_reason, asked_until_ms (what the portal asked for, if it said so).

-- After a long rest one call goes alone (see pace.lua); this handles its result, or that of an even later call.
local function end_care(portal, seq, batch)
  local careful = redis.call('HGET', portal, 'careful')
  if not careful or seq <= (tonumber(careful) or 0) then
    return
  end
  if batch.calm then
    redis.call('HDEL', portal, 'careful')
  elseif batch.answer then
    -- Not well yet, and the answer may not say how long to stay away: the next call goes at the slowest pace.
    batch.push_back_ms = math.max(batch.push_back_ms or 0, 1000 / SLOWEST)
    batch.push_back_reason = batch.push_back_reason or PUSH_BACK
  end
end

local function stay_away(portal, batch, away_until, now)
  -- A rest only ever gets longer: an answer that was on its way does not shorten what a later one asked for. The reason
  -- is that of the longest wait.
  local until_ms = now + batch.push_back_ms
  if until_ms < away_until then
    return
  end
  redis.call('HSET', portal, 'push_back_until_ms', until_ms, 'push_back_reason', batch.push_back_reason)
  if away_until <= now then
    redis.call('HDEL', portal, 'asked_until_ms')
  end
  if batch.asked_ms then
    -- Within one rest the longest request counts: the answers to calls that were in flight together differ.
    local asked_before = tonumber(redis.call('HGET', portal, 'asked_until_ms')) or 0
    redis.call('HSET', portal, 'asked_until_ms', math.max(asked_before, now + batch.asked_ms))
    if batch.asked_ms > batch.push_back_ms then
      take_care(portal)
    end
  end
end

-- Record what the batch says about when to call again. A wait of our own holds only workers with the same
-- configuration, while a worker with another one can go on.
local function heed_push_back(portal, configuration, seq, batch, now)
  end_care(portal, seq, batch)
  local facts = redis.call('HMGET', portal, 'push_back_until_ms', 'faults_told')
  local away_until = tonumber(facts[1] or 0)
  if batch.calm and facts[2] and facts[2] ~= '' then
    end_told_faults(portal, configuration, facts[2], now)
  end
  if batch.calm and away_until <= now then
    redis.call('HDEL', portal, 'push_back_reason')
  end
  if not batch.push_back_ms then
    return
  end
  if is_one_of(OWN_WAITS, batch.push_back_reason) and others_can(portal, configuration, now) then
    note_fault(portal, configuration, batch.push_back_reason, batch.last_error or '', now, batch.push_back_ms)
  else
    stay_away(portal, batch, away_until, now)
  end
  if batch.push_back_reason ~= LOGIN_GUARD then
    redis.call('HINCRBY', portal .. STATS, 'push_backs', 1)
  end
end
