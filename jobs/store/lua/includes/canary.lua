-- Shared by the scripts: the canary, contact IDs of a job that are sent first, spread evenly over its list. The others
-- are the rest. Which they are follows from two numbers, as in jobs/ledger/canary.py.
--
-- Job hash: canary (how many; a job without one has none of these), canary_cursor (how many were handed out),
-- canary_state (running, waiting for a person, passed, or cancelled), canary_allowed, canary_confirm, canary_departed,
-- canary_counts (see judge).

local function canary_place(index, canary, total)
  return math.floor(index * total / canary)
end

-- Returns how many of the canary are before a place of the list.
local function canary_before(place, canary, total)
  return math.ceil(place * canary / total)
end

-- Returns the place of number `index` of the rest, counted from 0.
local function rest_place(index, canary, total)
  return index + math.ceil((index + 1) * canary / (total - canary))
end

-- Returns whether a job has contact IDs now that were never sent and, while only its canary is sent, how many of that
-- were handed out.
local function fresh_of(job, canary, cursor, total)
  local facts = redis.call('HMGET', job, 'canary_state', 'canary_cursor')
  if facts[1] == 'running' then
    return tonumber(facts[2]) < canary, tonumber(facts[2])
  end
  return facts[1] == 'passed' and cursor < total
end

-- Returns the next of the canary as an item's segment, first position, count and form (see fresh_item in item.lua).
local function next_of_canary(index, canary, total, most)
  local segment = math.floor(canary_place(index, canary, total) / SEGMENT_SIZE)
  local count = math.min(most, canary_before(math.min((segment + 1) * SEGMENT_SIZE, total), canary, total) - index)
  local positions = {}
  for at = index, index + count - 1 do
    positions[#positions + 1] = canary_place(at, canary, total) % SEGMENT_SIZE
  end
  return segment, positions[1], count, LIST, pack_positions(positions)
end

-- Returns the place behind the next of the rest, then the same of these as next_of_canary.
local function next_of_rest(cursor, canary, total, most)
  local index = cursor - canary_before(cursor, canary, total)
  local first = rest_place(index, canary, total)
  local segment = math.floor(first / SEGMENT_SIZE)
  local border = math.min((segment + 1) * SEGMENT_SIZE, total)
  local count = math.min(most, border - canary_before(border, canary, total) - index)
  local last = rest_place(index + count - 1, canary, total)
  -- A cursor behind which there is only canary would offer contact IDs that there are not.
  local behind = index + count == total - canary and total or last + 1
  local start, between = first % SEGMENT_SIZE, last + 1 - first - count
  if between == 0 then
    return behind, segment, start, count, RUN, ''
  end
  local positions = {}
  if between >= count then
    for at = index, index + count - 1 do
      positions[#positions + 1] = rest_place(at, canary, total) % SEGMENT_SIZE
    end
    return behind, segment, start, count, LIST, pack_positions(positions)
  end
  local seen = canary_before(first, canary, total)
  for at = seen, seen + between - 1 do
    positions[#positions + 1] = canary_place(at, canary, total) % SEGMENT_SIZE
  end
  return behind, segment, start, count, HOLES, struct.pack(POSITION, last - first) .. pack_positions(positions)
end
