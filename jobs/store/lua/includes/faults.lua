-- Shared by the scripts: faults of a portal, kept per configuration. A fault of credentials, payment, rights or address
-- belongs to the configuration that met it, and does not hold workers with another one. The same goes for a wait of our
-- own, for a portal that cannot be reached or before a log-in, while another configuration may get through. Times are on
-- the steady clock.
--
--   {portal}:faults          hash: fingerprint of a configuration -> "until_ms reason message"
--                            EVERYONE in place of a fingerprint: the portal itself is at fault, and no worker calls it
--   {portal}:configurations  zset: "fingerprint/worker" -> alive until (ms); jobs/lanes/presence.py
--   portal hash              faults_told: " fingerprint=reason " of each fault that webhooks have been told of
--
-- jobs/store/faults.py reads the same for people.

local function until_of(fault)
  return fault and tonumber(string.match(fault, '^%d+')) or 0
end

-- Returns until when a fault holds the configuration; 0 or a time in the past if none does.
local function held_until(portal, configuration)
  local faults = redis.call('HMGET', portal .. FAULTS, configuration, EVERYONE)
  return math.max(until_of(faults[1]), until_of(faults[2]))
end

-- Returns whether a living worker has another configuration that no fault holds.
local function others_can(portal, configuration, now)
  for _, member in ipairs(redis.call('ZRANGE', portal .. CONFIGURATIONS, '(' .. now, '+inf', 'BYSCORE')) do
    local other = string.match(member, '^([^/]*)/')
    if other ~= configuration and held_until(portal, other) <= now then
      return true
    end
  end
  return false
end

-- Hold the configuration until a person has fixed the fault, or for as long as a wait of our own lasts.
local function note_fault(portal, configuration, reason, message, now, wait_ms)
  local faults, lasts_ms = portal .. FAULTS, math.min(wait_ms or FAULT_LASTS_MS, FAULT_LASTS_MS)
  redis.call('HSET', faults, configuration, string.format('%.0f %s %s', now + lasts_ms, reason, message))
  redis.call('PEXPIRE', faults, 2 * FAULT_LASTS_MS)  -- longer, as the server's clock may jump
end

-- Tell webhooks of a fault that needs a person, once: if it lapses and is met again, it is still the same fault.
local function tell_of_new_fault(portal, configuration, reason, now)
  local told = redis.call('HGET', portal, 'faults_told') or ''
  local this = ' ' .. configuration .. '=' .. reason .. ' '
  if not string.find(told, this, 1, true) then
    redis.call('HSET', portal, 'faults_told', told .. this)
    tell_of_fault(portal, reason, now)
  end
end

-- The portal has answered the configuration well: its faults are over, unless the answer comes from before them.
local function end_told_faults(portal, configuration, told, now)
  if held_until(portal, configuration) > now then
    return
  end
  local others = ''
  for entry in string.gmatch(told, '%S+') do
    local of = string.match(entry, '^[^=]*')
    if of ~= configuration and of ~= EVERYONE then
      others = others .. ' ' .. entry .. ' '
    end
  end
  redis.call('HSET', portal, 'faults_told', others)
end

-- A person has acted: the portal is tried again, whatever the configuration.
local function forget_faults(portal)
  redis.call('UNLINK', portal .. FAULTS)
  redis.call('HDEL', portal, 'faults_told')
end
