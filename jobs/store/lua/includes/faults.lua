-- Shared by the scripts: faults of a portal, kept per configuration. A fault of credentials, payment, rights or address
-- belongs to the configuration that met it, and does not hold workers with another one. The same goes for a wait of our
-- own, for a portal that cannot be reached or before a log-in, while another configuration may get through.
--
--   {portal}:faults          hash: fingerprint of a configuration -> "until_ms reason message"
--                            EVERYONE in place of a fingerprint: the portal itself is at fault, and no worker calls it
--   {portal}:configurations  zset: "fingerprint/worker" -> alive until (ms); jobs/lanes/presence.py
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
  redis.call('PEXPIRE', faults, FAULT_LASTS_MS)
end

-- A person has acted: the portal is tried again, whatever the configuration.
local function forget_faults(portal)
  redis.call('UNLINK', portal .. FAULTS)
end
