-- Shared by the scripts: the first bytes of an item. The layout is that of jobs/ledger/items.py and
-- jobs/ledger/positions.py; what both languages know of it stands in jobs/store/item_layout.py.

local DUE = { [PUT] = DUE_PUT, [LOOK_UP] = DUE_LOOK_UP }

-- An item of contact IDs that no attempt has held yet: a run of positions of one segment. The reason is what would be said
-- of them if this very attempt is never heard of again.
local function fresh_item(segment, start, count)
  return struct.pack(ITEM_HEAD, string.byte(PUT), 0, 0, 0, 0, CONNECTION_LOST, segment)
    .. struct.pack(POSITIONS_HEAD, start, count, RUN)
end

-- The same item after an attempt whose answer nobody read: to be looked up, doubtful, one attempt more.
local function doubtful_item(item)
  local attempts = math.min(string.byte(item, 3) + 1, MOST_COUNTED)
  return LOOK_UP .. string.char(DOUBTFUL, attempts) .. string.sub(item, 4)
end

-- Whether an item is tried again after a failure, and not for the first time (see `failures` in jobs/ledger/items.py).
local function is_retry(item)
  return string.byte(item, 4) > 0
end
