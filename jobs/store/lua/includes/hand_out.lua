-- Shared by the scripts: handing out contact IDs. They leave the waiting items, or what is ahead of the job's cursors,
-- and are in a lane's claim from then on. A batch never crosses the border of a segment.

-- Take contact IDs of a job with a canary into a new item, as take_fresh does. `handed_out` is how many of the canary
-- were, as long as only the canary is sent.
local function take_around_canary(job, cursor, total, most, canary, handed_out)
  local segment, start, count, form, following
  if handed_out then
    segment, start, count, form, following = next_of_canary(handed_out, canary, total, most)
    redis.call('HINCRBY', job, 'canary_cursor', count)
  else
    cursor, segment, start, count, form, following = next_of_rest(cursor, canary, total, most)
    redis.call('HSET', job, 'cursor', cursor)
  end
  local item_id = redis.call('HINCRBY', job, 'next_item', 1) .. ':' .. count
  redis.call('HSET', job .. ITEMS, item_id, fresh_item(segment, start, count, form, following))
  return item_id
end

-- Take contact IDs ahead of the job's cursor into a new item; returns its ID.
local function take_fresh(job, cursor, total, most)
  local segment, start = math.floor(cursor / SEGMENT_SIZE), cursor % SEGMENT_SIZE
  local count = math.min(most, SEGMENT_SIZE - start, total - cursor)
  local item_id = redis.call('HINCRBY', job, 'next_item', 1) .. ':' .. count
  redis.call('HSET', job .. ITEMS, item_id, fresh_item(segment, start, count))
  redis.call('HINCRBY', job, 'cursor', count)
  return item_id
end

-- Take what the job has offered (see choice.lua) out of the waiting items; returns the item IDs.
local function take(job, offered, most)
  local call, item_ids = offered[1], offered[2]
  if offered.canary then
    return { take_around_canary(job, offered[3], offered[4], most, offered.canary, offered.handed_out) }
  elseif not item_ids then
    return { take_fresh(job, offered[3], offered[4], most) }
  end
  for _, item_id in ipairs(item_ids) do
    redis.call('ZREM', job .. DUE[call], item_id)
  end
  return item_ids
end

-- Mark a batch as sent. Returns the reply that gives it to a lane. What the gates allow is looked at again if the batch
-- is delivered for the second time, without `gate`.
local function deliver(portal, claim_key, claim, state, now, batch_size, told, gate)
  local seq, job_id, call = claim[1], claim[2], claim[3]
  local most = -1
  if call == PUT and state ~= 'cancelling' then
    most = count_put(portal, claim, size_of(claim[4]), gate or portal_gate(portal, now, told), told)
  end
  redis.call('HSET', portal .. CLAIMS, claim_key, cmsgpack.pack(claim))
  local items = call ~= SURVEY and redis.call('HMGET', JOB .. job_id .. ITEMS, unpack(claim, 4)) or {}
  local facts = redis.call('HMGET', JOB .. job_id, 'digest', 'plan_digest', 'rechecks', 'canary_state', 'bundle',
    'bundle_id', 'bundle_late')
  local bundle_id = facts[5] == 'kept' and facts[6] or ''
  return { 'batch', seq, job_id, state, now, call, batch_size, facts[1], most, facts[2] or '', facts[3] or 0,
    facts[4] or '', bundle_id, facts[7] or '', unpack(items) }
end
