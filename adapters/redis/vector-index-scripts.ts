/**
 * What must happen in one step on the server, as Lua scripts; and the keys that they share (prefix left out):
 *
 *   index:generation          id of the generation that serves
 *   index:run, writes, base, history   whether the server still has every write (server-memory.ts)
 *   index:rebuild             generation under construction, and until when (server's ms) its process is taken for alive
 *   index:names:<generation>  <kind>/<release> → '<uid> <dims>'
 *   index:rows                uid → number of rows
 *   index:fields:<uid>        numeric fields that the schema has
 *   index:shards              of a sharded index, on its first server: the generations of all its servers
 *   index:ended               generation → when (server's ms) its memory is to be freed
 *   index:garbage             uids whose rows are to be unlinked
 *   row:<uid>:<id>            one row: h FLOAT16, v float32, tags, n_<field>
 *
 * FT index of an index: ix:<uid>. Alias of one that serves: serving:<kind>/<release>.
 *
 * A uid is never used again, so the rows of a dropped index cannot reappear in a new one of the same name, and a search
 * on a uid is answered from one generation whatever happens meanwhile.
 *
 * Keys are made inside the scripts: they run on one server that holds them all (sharded-vector-index.ts stands above it).
 */
import { createHash } from 'node:crypto'
import { COUNT_WRITE, FORGOT } from './server-memory.ts'

/** Replies of the scripts that are no result; the first word of an error reply. */
export const ENDED = 'GENERATIONENDED'
export const UNKNOWN = 'UNKNOWNINDEX'
/** The caller's uid or dims are of an index that was dropped or replaced. */
export const CHANGED = 'INDEXCHANGED'
export const RUNNING = 'REBUILDRUNNING'
export const TOO_MANY_FIELDS = 'TOOMANYFIELDS'

/** The engine takes 1,024 fields; two are the vector and the tags. */
export const MAX_NUMERIC_FIELDS = 1_000

/** ARGV[1] = prefix, ARGV[2] = the generation that is meant, '' for the one that serves. */
const prelude = `
local prefix, wanted = ARGV[1], ARGV[2]
local function key(name) return prefix .. 'index:' .. name end
local function now()
  local time = redis.call('TIME')
  return time[1] * 1000 + math.floor(time[2] / 1000)
end
local serving = redis.call('GET', key('generation')) or ''
local building = redis.call('HGET', key('rebuild'), 'generation') or ''
local generation = wanted == '' and serving or wanted
local function ended() return redis.error_reply('${ENDED} ' .. generation) end
local function readable()
  if generation == serving or generation == building then return true end
  local freedAt = redis.call('ZSCORE', key('ended'), generation)
  return freedAt and tonumber(freedAt) > now()
end
local function writable() return generation ~= '' and (generation == serving or generation == building) end
local function entryOf(name) return redis.call('HGET', key('names:' .. generation), name) end
local function uidOf(entry) return string.match(entry, '^%S+') end
-- What is gone already, by hand or with its index, is as good as dropped.
local function dropUnlessGone(gone, ...)
  local reply = redis.pcall(...)
  if type(reply) == 'table' and reply.err and not string.find(string.lower(reply.err), gone, 1, true) then error(reply) end
end
local function dropAlias(name) dropUnlessGone('alias does not exist', 'FT.ALIASDEL', prefix .. 'serving:' .. name) end
local function forget(name, entry)
  local uid = uidOf(entry)
  dropUnlessGone('unknown index name', 'FT.DROPINDEX', prefix .. 'ix:' .. uid)
  redis.call('HDEL', key('names:' .. generation), name)
  redis.call('HDEL', key('rows'), uid)
  redis.call('DEL', key('fields:' .. uid))
  redis.call('SADD', key('garbage'), uid)
end
`

/** ARGV[3] = the name, ARGV[4] = what the caller takes its entry for. Leaves the uid, for a call on rows. */
const rowsPrelude = `${prelude}
if not writable() then return ended() end
local entry = entryOf(ARGV[3])
if not entry then return redis.error_reply('${UNKNOWN} ' .. ARGV[3]) end
if entry ~= ARGV[4] then return redis.error_reply('${CHANGED} ' .. entry) end
local uid = uidOf(entry)
local function rowKey(id) return prefix .. 'row:' .. uid .. ':' .. id end
${COUNT_WRITE}
`

export const scripts = {
  /** Begins the first generation, under the id ARGV[3], where there is none. @returns [serving, under construction or ''] */
  state: script(`
if serving == '' then
  serving = ARGV[3]
  redis.call('SET', key('generation'), serving)
end
return { serving, building }`),

  /** ARGV[3] = id of a new generation, [4 …] = words() of SeenWrites. */
  remember: script(`
${FORGOT}
if not forgot(4) then return 0 end
for _, id in ipairs({ serving, building }) do
  if id ~= '' then redis.call('ZADD', key('ended'), now(), id) end
end
redis.call('DEL', key('rebuild'))
redis.call('SET', key('generation'), ARGV[3])
return 1`),

  /** ARGV[3] = what is expected to stand there, [4] = what is to stand there. @returns 1 if it does */
  setShards: script(`
local current = redis.call('GET', key('shards')) or ''
if current ~= ARGV[3] and current ~= ARGV[4] then return 0 end
redis.call('SET', key('shards'), ARGV[4])
return 1`),

  /** @returns [generation, entry | nil, rows, numeric fields of ARGV[3]]; nothing where the store is empty */
  look: script(`
if generation == '' then return {} end
if not readable() then return ended() end
local entry = entryOf(ARGV[3])
if not entry then return { generation } end
local uid = uidOf(entry)
return { generation, entry, tonumber(redis.call('HGET', key('rows'), uid) or 0), redis.call('SMEMBERS', key('fields:' .. uid)) }`),

  /** @returns [name, entry, rows, …]; nothing where the store is empty */
  list: script(`
local listed = {}
if generation == '' then return listed end
if not readable() then return ended() end
local names = redis.call('HGETALL', key('names:' .. generation))
for i = 1, #names, 2 do
  listed[#listed + 1] = names[i]
  listed[#listed + 1] = names[i + 1]
  listed[#listed + 1] = tonumber(redis.call('HGET', key('rows'), uidOf(names[i + 1])) or 0)
end
return listed`),

  /** ARGV[3] = name, [4] = the uid of a new one, [5] = its dims, [6 …] = its schema. @returns the entry that is there */
  create: script(`
if not writable() then return ended() end
local entry = entryOf(ARGV[3])
if entry then return entry end
local ft, row = prefix .. 'ix:' .. ARGV[4], prefix .. 'row:' .. ARGV[4] .. ':'
-- No row has the prefix yet; without SKIPINITIALSCAN a replay of the AOF indexes all of them twice.
redis.call('FT.CREATE', ft, 'ON', 'HASH', 'PREFIX', '1', row, 'SKIPINITIALSCAN', unpack(ARGV, 6))
if generation == serving then redis.call('FT.ALIASUPDATE', prefix .. 'serving:' .. ARGV[3], ft) end
entry = ARGV[4] .. ' ' .. ARGV[5]
redis.call('HSET', key('names:' .. generation), ARGV[3], entry)
${COUNT_WRITE}
return entry`),

  /** ARGV[5 …] = numeric fields that rows are about to have. No row holds one yet, so there is nothing to scan for it. */
  declare: rowsScript(`
local fields = key('fields:' .. uid)
for i = 5, #ARGV do
  if redis.call('SISMEMBER', fields, ARGV[i]) == 0 then
    if redis.call('SCARD', fields) >= ${MAX_NUMERIC_FIELDS} then
      return redis.error_reply('${TOO_MANY_FIELDS} ' .. ARGV[i])
    end
    redis.call('FT.ALTER', prefix .. 'ix:' .. uid, 'SKIPINITIALSCAN', 'SCHEMA', 'ADD', ARGV[i], 'NUMERIC')
    redis.call('SADD', fields, ARGV[i])
  end
end
return redis.call('SMEMBERS', fields)`),

  /**
   * ARGV[5] = id, [6] = '1' if the row must be there already (else nothing is done), [7 …] = fields and values. Numeric
   * fields that are not among them go, the vector stays if it is not.
   * A row that would not change is left alone, for its vector would be put into the graph again. @returns 1 if written
   */
  write: rowsScript(`
local row = rowKey(ARGV[5])
local old = redis.call('HGETALL', row)
if #old == 0 and ARGV[6] == '1' then return 0 end
local new = {}
for i = 7, #ARGV, 2 do new[ARGV[i]] = ARGV[i + 1] end
local stale, kept = {}, 0
for i = 1, #old, 2 do
  local value = new[old[i]]
  if value == old[i + 1] then
    kept = kept + 1
  elseif not value and string.sub(old[i], 1, 2) == 'n_' then
    stale[#stale + 1] = old[i]
  end
end
if #stale == 0 and kept == (#ARGV - 6) / 2 then return 0 end
if #stale > 0 then redis.call('HDEL', row, unpack(stale)) end
redis.call('HSET', row, unpack(ARGV, 7))
if #old == 0 then redis.call('HINCRBY', key('rows'), uid, 1) end
return 1`),

  /** ARGV[5 …] = ids. @returns how many there were */
  remove: rowsScript(`
local removed = 0
for i = 5, #ARGV do removed = removed + redis.call('UNLINK', rowKey(ARGV[i])) end
redis.call('HINCRBY', key('rows'), uid, -removed)
return removed`),

  /** ARGV[3] = name. @returns 1 if there was one; its rows are garbage then */
  drop: script(`
if not writable() then return ended() end
local entry = entryOf(ARGV[3])
if not entry then return 0 end
if generation == serving then dropAlias(ARGV[3]) end
forget(ARGV[3], entry)
${COUNT_WRITE}
return 1`),

  /** ARGV[3] = id of the new generation, [4] = how long its process may be silent, ms. One that was silent longer ends. */
  rebuild: script(`
if serving == '' then return ended() end
if building ~= '' then
  if tonumber(redis.call('HGET', key('rebuild'), 'until')) > now() then return redis.error_reply('${RUNNING} ' .. building) end
  redis.call('ZADD', key('ended'), now(), building)
end
redis.call('HSET', key('rebuild'), 'generation', ARGV[3], 'until', now() + ARGV[4])
return ARGV[3]`),

  /** ARGV[3] = for how many ms from now. What serves needs no lease any more. */
  renew: script(`
if wanted == serving then return 0 end
if wanted ~= building then return ended() end
redis.call('HSET', key('rebuild'), 'until', now() + ARGV[3])
return 1`),

  /** ARGV[3] = after how many ms the memory of the old one is freed. Twice is as once. */
  promote: script(`
if wanted == serving then return 0 end
if wanted ~= building then return ended() end
local old = redis.call('HKEYS', key('names:' .. serving))
for _, name in ipairs(old) do
  if not entryOf(name) then dropAlias(name) end
end
local names = redis.call('HGETALL', key('names:' .. wanted))
for i = 1, #names, 2 do
  redis.call('FT.ALIASUPDATE', prefix .. 'serving:' .. names[i], prefix .. 'ix:' .. uidOf(names[i + 1]))
end
redis.call('SET', key('generation'), wanted)
redis.call('DEL', key('rebuild'))
redis.call('ZADD', key('ended'), now() + ARGV[3], serving)
${COUNT_WRITE}
return 1`),

  /** Ends a generation that does not serve, the one under construction too. */
  discard: script(`
if wanted ~= building then return 0 end
redis.call('DEL', key('rebuild'))
redis.call('ZADD', key('ended'), now(), wanted)
return 1`),

  /** Drops the indexes of generations whose time is over. @returns the uids whose rows are to be unlinked */
  sweep: script(`
for _, due in ipairs(redis.call('ZRANGEBYSCORE', key('ended'), '-inf', now())) do
  generation = due
  local names = redis.call('HGETALL', key('names:' .. due))
  for i = 1, #names, 2 do forget(names[i], names[i + 1]) end
  redis.call('ZREM', key('ended'), due)
end
return redis.call('SMEMBERS', key('garbage'))`),
} as const

export interface Script {
  readonly text: string
  readonly sha: string
}

function script(body: string): Script {
  return withSha(prelude + body)
}

function rowsScript(body: string): Script {
  return withSha(rowsPrelude + body)
}

function withSha(text: string): Script {
  return { text, sha: createHash('sha1').update(text).digest('hex') }
}
