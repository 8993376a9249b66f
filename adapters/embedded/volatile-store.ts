/**
 * Opens an LMDB environment that is not flushed while it runs, so that its transactions wait for no disk.
 *
 *   [kill]       a killed process loses nothing: the operating system has the pages and writes them in its own time
 *   [power cut]  the file may be torn, and mapping a torn file can crash the process. A marker beside it names the boot
 *                (the run of the machine) in which it is open; found in a later boot, the file is not touched
 *   [set aside]  an environment that may be torn, or cannot be opened, is moved to `<folder>.damaged` in place of an
 *                earlier one, and an empty one is opened
 *   [closed]     a close flushes everything first, so an orderly restart of the machine loses nothing
 *
 * Where the system names no boot (no /proc), a torn file is noticed only if LMDB refuses it: delete the folder where the
 * process keeps crashing after a power cut.
 */
import { existsSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { open } from 'node:fs/promises'
import { join } from 'node:path'
import type { RootDatabase } from 'lmdb'
import { SetupError } from '../../ports/errors.ts'
import { bootId } from './folder-lock.ts'
import { openStore } from './store.ts'

const MARKER = 'open-in-boot'
const CLOSED = 'closed'
const UNKNOWN = 'unknown'

export interface VolatileStore<T> {
  /** What `use` made of the environment. */
  readonly store: T
  close(): Promise<void>
}

/**
 * @param use opens the databases inside; its throw sets the environment aside too.
 * @param onSetAside is given a SetupError 'store-set-aside' that says why and where it lies now.
 * @param boot which run of the machine this is.
 */
export async function openVolatileStore<T>(
  folder: string,
  use: (root: RootDatabase) => T,
  onSetAside: (error: SetupError) => void,
  boot: string = bootId() ?? UNKNOWN,
): Promise<VolatileStore<T>> {
  mkdirSync(folder, { recursive: true })
  if (isOpenInEarlierBoot(folder, boot)) onSetAside(setAside(folder, 'the machine stopped while it was open')) // [power cut]
  try {
    return await openIn(folder, use, boot)
  } catch (cause) {
    onSetAside(setAside(folder, 'it cannot be opened', cause))
    return openIn(folder, use, boot)
  }
}

async function openIn<T>(folder: string, use: (root: RootDatabase) => T, boot: string): Promise<VolatileStore<T>> {
  mark(folder, boot)
  const root = openStore(folder, { fsync: false })
  try {
    const store = use(root)
    return { store, close: () => closeIn(folder, root) }
  } catch (error) {
    await root.close()
    throw error
  }
}

async function closeIn(folder: string, root: RootDatabase): Promise<void> {
  await root.close()
  if (!existsSync(folder)) return // deleted under us: nothing to keep
  const file = await open(join(folder, 'data.mdb'), 'r+')
  await file.sync().finally(() => file.close())
  mark(folder, CLOSED) // [closed]
}

function isOpenInEarlierBoot(folder: string, boot: string): boolean {
  const path = join(folder, MARKER)
  if (boot === UNKNOWN || !existsSync(path)) return false
  return ![CLOSED, UNKNOWN, boot].includes(readFileSync(path, 'utf8'))
}

function mark(folder: string, state: string): void {
  writeFileSync(join(folder, MARKER), state, { flush: true })
}

function setAside(folder: string, why: string, cause?: unknown): SetupError {
  const aside = `${folder}.damaged`
  rmSync(aside, { recursive: true, force: true })
  renameSync(folder, aside)
  mkdirSync(folder)
  return new SetupError(
    'store-set-aside',
    `${folder} was moved to ${aside} because ${why}, and begins anew; what it held is not served any more`,
    cause === undefined ? {} : { cause },
  )
}
