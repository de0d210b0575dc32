-- Shared by the scripts: the first bytes of an item. The layout is that of jobs/ledger/items.py and
-- jobs/ledger/positions.py; the parts that both languages need are defined in jobs/store/item_layout.py.

local DUE = { [PUT] = DUE_PUT, [LOOK_UP] = DUE_LOOK_UP }

-- Returns an item of contact IDs that no attempt has contained yet: positions of one segment, by default a run. Other
-- forms are told apart by what follows. The reason is the one that would be recorded if this attempt is never heard of
-- again.
local function fresh_item(segment, start, count, form, following)
  return struct.pack(ITEM_HEAD, string.byte(PUT), 0, 0, 0, 0, CONNECTION_LOST, segment)
    .. struct.pack(POSITIONS_HEAD, start, count, form or RUN) .. (following or '')
end

local function pack_positions(positions)
  return struct.pack(POSITION .. string.rep('H', #positions - 1), unpack(positions))
end

-- Returns the item after an attempt whose answer no one read: to be looked up, doubtful, with one more attempt.
local function doubtful_item(item)
  local attempts = math.min(string.byte(item, 3) + 1, MOST_COUNTED)
  return LOOK_UP .. string.char(DOUBTFUL, attempts) .. string.sub(item, 4)
end

-- Returns the segment of an item's contact IDs.
local function segment_of(item)
  return select(7, struct.unpack(ITEM_HEAD, item))
end

-- Returns whether an item is tried again after a try that decided nothing (see `failures` in jobs/ledger/items.py).
local function is_retry(item)
  return string.byte(item, 4) > 0
end
