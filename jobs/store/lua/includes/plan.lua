-- Shared by the scripts: plans. A job with a plan has in its hash:
--
--   plan_digest      what the plan says, as SHA-256 (jobs/plan/digest.py)
--   plan_conditions  under which address, protected list and guards it was made, as SHA-256
--   plan_expires_ms  until when it can be approved
--   approved_digest  the digest that a person has approved

local SHORTEST_DIGEST = 12

-- Returns whether what would be sent is what a person has approved, under the conditions of the lane that would send it.
-- A job without a plan needs none.
local function is_as_approved(plan, approved, conditions, conditions_of_lane)
  return not plan or (approved == plan and conditions == conditions_of_lane)
end

-- Returns what forbids an approval now, or nil. `terms` has the digest that the person gives ('' for none), and the
-- portal's guards: second_person_above, max_share.
local function objection(job, by, terms, now)
  local facts = redis.call('HMGET', job, 'plan_digest', 'plan_expires_ms', 'plan_share', 'submitted_by', 'total')
  local plan, digest, above = facts[1], terms.digest, terms.second_person_above
  if plan and digest == '' then
    return 'digest_needed'
  elseif digest ~= '' and (not plan or #digest < SHORTEST_DIGEST or string.sub(plan, 1, #digest) ~= digest) then
    return PLAN_CHANGED
  elseif plan and tonumber(facts[2]) <= now then
    return 'plan_expired'
  elseif plan and tonumber(facts[3]) > terms.max_share then
    return 'blast_radius'
  elseif above > 0 and tonumber(facts[5]) > above and facts[4] == by then
    return 'second_person'
  end
end

-- Note what a person has approved. The sample has served its purpose: it is the only personal data that is ever kept.
local function note_approval(job)
  local plan = redis.call('HGET', job, 'plan_digest')
  if plan then
    redis.call('HSET', job, 'approved_digest', plan)
    redis.call('UNLINK', job .. SAMPLE)
  end
end
