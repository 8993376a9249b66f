/**
 * The records of one partition in files of bounded size, and a manifest that says what they hold:
 *
 *     manifest.json        next offset; of each shard its sha256 and its rows: id, length, receipt, upload
 *     <sha256>.rows        Avro records, one after the other
 *
 *   [atomic]   the manifest is replaced as a whole, after the shards that it names; what it does not name is no part of
 *              the folder and is swept away. So a writer may be killed anywhere, and reading goes on at `next`.
 *   [latest]   of the rows of an id the latest counts; a shard more than half of which was replaced is written anew
 *   [removed]  of what was removed nothing is left once `commit` resolves: its shards are written anew, also those that
 *              hold rows of it that were replaced before
 *   [flat]     one shard is in memory at a time, and of the others what the manifest says
 */
import { createHash } from 'node:crypto'
import { mkdir, readdir, readFile, rm, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { InvalidRecordError } from '../../ports/errors.ts'
import { PARTIAL, writeAtomically } from './atomic-file.ts'
import {
  bytesOf,
  damaged,
  FULL_SHARD_BYTES,
  readManifest,
  type Shard,
  type ShardManifest,
  type ShardRow,
} from './shard-manifest.ts'

const MANIFEST = 'manifest.json'
const EXTENSION = '.rows'
/** Of a shard's bytes. */
const MOST_REPLACED = 0.5

/** What the rows must be of; else they are fetched anew. */
export type ShardKind = Pick<ShardManifest, 'schema' | 'choice'>

export interface ShardOptions {
  /** Awaited before rows are added or removed for good. */
  readonly beforeChange?: (() => Promise<void>) | undefined
  /** A shard is closed once it has this many. Default 32 MiB. */
  readonly fullBytes?: number | undefined
}

export type Position = Pick<ShardManifest, 'next' | 'last'>

interface Row {
  readonly row: ShardRow
  readonly bytes: Uint8Array
}

export class ShardFolder {
  readonly #folder: string
  readonly #beforeChange: () => Promise<void>
  readonly #fullBytes: number
  readonly #kind: ShardKind
  #position: Position
  #shards: Shard[]
  /** Rows that are in no shard yet. */
  #tail: Row[] = []
  #tailBytes = 0
  /** All rows of each id in their order, those that were replaced too. */
  readonly #rowsOf = new Map<string, ShardRow[]>()
  readonly #removed = new Set<ShardRow>()
  #changed = false

  private constructor(folder: string, manifest: ShardManifest, options: ShardOptions) {
    const { schema, choice, next, last, shards } = manifest
    this.#folder = folder
    this.#beforeChange = options.beforeChange ?? (async () => {})
    this.#fullBytes = options.fullBytes ?? FULL_SHARD_BYTES
    this.#kind = { schema, choice }
    this.#position = { next, last }
    this.#shards = shards
    for (const { rows } of shards) for (const row of rows) this.#remember(row)
  }

  /** Every shard is read through once; where one is damaged, or the rows are of another kind, the folder begins anew. */
  static async open(folder: string, kind: ShardKind, options: ShardOptions = {}): Promise<ShardFolder> {
    await mkdir(folder, { recursive: true })
    const kept = await readWhole(folder).catch(ofDamaged)
    const usable = kept !== undefined && kept.schema === kind.schema && kept.choice === kind.choice
    const manifest = usable ? kept : { ...kind, next: 0, last: null, shards: [] }
    const opened = new ShardFolder(folder, manifest, options)
    if (!usable) await opened.clear()
    else await opened.#sweep()
    return opened
  }

  get position(): Position {
    return this.#position
  }

  /** Those that count, also such as are not committed yet. */
  *rows(): Generator<ShardRow> {
    for (const rows of this.#rowsOf.values()) yield rows.at(-1)!
  }

  /** Nothing is left, and reading begins at the start. */
  async clear(): Promise<void> {
    await this.#beforeChange()
    this.#position = { next: 0, last: null }
    this.#shards = []
    this.#tail = []
    this.#tailBytes = 0
    this.#rowsOf.clear()
    await this.#writeManifest()
  }

  /** @returns whether the tail is full: commit it. */
  async put(row: Omit<ShardRow, 'bytes' | 'upload' | 'replaced'>, bytes: Uint8Array): Promise<boolean> {
    if (this.#tail.length === 0) await this.#reopenLast()
    const earlier = this.#rowsOf.get(row.id)?.at(-1)
    if (earlier !== undefined) earlier.replaced = true
    const added: ShardRow = { ...row, bytes: bytes.length, upload: null }
    this.#remember(added)
    this.#tail.push({ row: added, bytes })
    this.#tailBytes += bytes.length
    this.#changed = true
    return this.#tailBytes >= this.#fullBytes
  }

  /** A row that is put afterwards stays. @returns whether there was any. */
  remove(id: string): boolean {
    const rows = this.#rowsOf.get(id)
    for (const row of rows ?? []) this.#removed.add(row)
    return this.#rowsOf.delete(id)
  }

  /** Says what a row's upload is. */
  describe(row: ShardRow, upload: NonNullable<ShardRow['upload']>): void {
    if (row.upload?.media === upload.media && row.upload.artist === upload.artist) return
    row.upload = upload
    this.#changed = true
  }

  async commit(position: Position): Promise<void> {
    const rewritten = this.#shards.filter((shard) => this.#isWorn(shard))
    if (!this.#changed && this.#removed.size === 0 && position.next === this.#position.next) return
    if (this.#changed || this.#removed.size > 0) await this.#beforeChange()
    for (const shard of rewritten) await this.#rewrite(shard)
    const kept = this.#tail.filter(({ row }) => !row.replaced && !this.#removed.has(row))
    if (kept.length > 0) this.#shards.push(await this.#write(kept))
    this.#tail = []
    this.#tailBytes = 0
    this.#removed.clear()
    this.#position = position
    await this.#writeManifest()
    this.#changed = false
  }

  #remember(row: ShardRow): void {
    const rows = this.#rowsOf.get(row.id)
    if (rows === undefined) this.#rowsOf.set(row.id, [row])
    else rows.push(row)
  }

  /** The last shard goes on where it is not full, so that a sync a minute leaves no shard a minute. */
  async #reopenLast(): Promise<void> {
    const last = this.#shards.at(-1)
    if (last === undefined || bytesOf(last.rows) >= this.#fullBytes) return
    this.#tail = (await readShard(this.#folder, last)).filter(({ row }) => this.#counts(row))
    this.#tailBytes = this.#tail.reduce((sum, { bytes }) => sum + bytes.length, 0)
    this.#shards = this.#shards.slice(0, -1)
  }

  #counts(row: ShardRow): boolean {
    return !row.replaced && !this.#removed.has(row)
  }

  #isWorn({ rows }: Shard): boolean {
    if (rows.some((row) => this.#removed.has(row))) return true
    return bytesOf(rows.filter(({ replaced }) => replaced)) > MOST_REPLACED * bytesOf(rows)
  }

  async #rewrite(shard: Shard): Promise<void> {
    const kept = (await readShard(this.#folder, shard)).filter(({ row }) => this.#counts(row))
    const written = kept.length === 0 ? [] : [await this.#write(kept)]
    this.#shards = this.#shards.flatMap((other) => (other === shard ? written : [other]))
  }

  async #write(rows: readonly Row[]): Promise<Shard> {
    const bytes = Buffer.concat(rows.map((row) => row.bytes))
    const shard = { sha256: hashOf(bytes), rows: rows.map(({ row }) => row) }
    await writeAtomically(shardPath(this.#folder, shard), bytes)
    return shard
  }

  async #writeManifest(): Promise<void> {
    const manifest: ShardManifest = { ...this.#kind, ...this.#position, shards: this.#shards }
    await writeAtomically(join(this.#folder, MANIFEST), JSON.stringify(manifest))
    await this.#sweep()
  }

  /** Whatever the manifest does not name goes. [removed] */
  async #sweep(): Promise<void> {
    const named = new Set(this.#shards.map((shard) => `${shard.sha256}${EXTENSION}`))
    for (const name of await readdir(this.#folder)) {
      const ours = name.endsWith(EXTENSION) || name.endsWith(PARTIAL)
      if (ours && !named.has(name)) await rm(join(this.#folder, name))
    }
  }
}

/**
 * The rows that count of a folder, one shard at a time; those whose upload nobody has asked for yet are passed over.
 * @throws InvalidRecordError 'damaged-shard'
 */
export async function* shardRows(folder: string): AsyncGenerator<Row> {
  const manifest = await readManifest(join(folder, MANIFEST))
  for (const shard of manifest?.shards ?? []) {
    for (const row of await readShard(folder, shard)) if (!row.row.replaced && row.row.upload !== null) yield row
  }
}

/** @throws InvalidRecordError 'damaged-shard' */
export const readShardManifest = (folder: string): Promise<ShardManifest | undefined> =>
  readManifest(join(folder, MANIFEST))

/** What is damaged is as good as not there. */
export function ofDamaged(error: unknown): undefined {
  if (!(error instanceof InvalidRecordError && error.code === 'damaged-shard')) throw error
}

async function readWhole(folder: string): Promise<ShardManifest | undefined> {
  const manifest = await readManifest(join(folder, MANIFEST))
  for (const shard of manifest?.shards ?? []) await readShard(folder, shard)
  return manifest
}

/** @throws InvalidRecordError 'damaged-shard' where it is not there, or not what was written. */
async function readShard(folder: string, shard: Shard): Promise<Row[]> {
  const path = shardPath(folder, shard)
  const size = bytesOf(shard.rows)
  const there = await stat(path).catch((cause) => {
    throw damaged(path, cause.message, cause)
  })
  if (there.size !== size) throw damaged(path, `it has ${there.size} bytes and its rows ${size}`)
  const bytes = await readFile(path)
  if (hashOf(bytes) !== shard.sha256) throw damaged(path, 'its sha256 is another')
  let end = 0
  return shard.rows.map((row) => {
    const start = end
    end += row.bytes
    return { row, bytes: bytes.subarray(start, end) }
  })
}

function shardPath(folder: string, { sha256 }: Pick<Shard, 'sha256'>): string {
  return join(folder, `${sha256}${EXTENSION}`)
}

function hashOf(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex')
}
