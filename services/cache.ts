/**
 * What was downloaded once: ~/.cache/cuestream/services, or under XDG_CACHE_HOME.
 *
 *   [whole] an entry is made in a folder of its own and renamed when it is whole: a folder with its final name is complete
 *   [one]   one process at a time makes entries; the others wait and find it made
 */
import { existsSync, mkdirSync, mkdtempSync, readdirSync, renameSync, rmSync } from 'node:fs'
import { homedir } from 'node:os'
import { isAbsolute, join } from 'node:path'
import pLimit from 'p-limit'
import { acquireFolder, type FolderHold } from '../adapters/embedded/folder-lock.ts'
import { SetupError } from '../ports/errors.ts'

const LOOK_AGAIN_MS = 200
const PARTIAL = '.partial-'

export interface Cache {
  path(name: string): string
  has(name: string): boolean
  /** The folder of the entry; `fill` makes it if it is not there. */
  entry(name: string, fill: (folder: string) => Promise<void>): Promise<string>
}

/** @param say is told that another process is waited for. */
export function openCache(say: (line: string) => void, root = cacheRoot()): Cache {
  const path = (name: string) => join(root, name)
  const has = (name: string) => existsSync(path(name))
  const make = async (name: string, fill: (folder: string) => Promise<void>) => {
    mkdirSync(root, { recursive: true })
    const hold = await waitForTurn(root, say)
    try {
      if (has(name)) return // [one]
      removeLeftovers(root)
      const partial = mkdtempSync(`${path(name)}${PARTIAL}`)
      try {
        await fill(partial)
        renameSync(partial, path(name)) // [whole]
      } finally {
        rmSync(partial, { recursive: true, force: true })
      }
    } finally {
      await hold.release()
    }
  }
  const oneAtATime = pLimit(1)
  return {
    path,
    has,
    async entry(name, fill) {
      if (!has(name)) await oneAtATime(make, name, fill)
      return path(name)
    },
  }
}

function cacheRoot(env = process.env): string {
  const base = env.XDG_CACHE_HOME
  return join(base !== undefined && isAbsolute(base) ? base : join(homedir(), '.cache'), 'cuestream', 'services')
}

/** Of processes that were killed while they made an entry. */
function removeLeftovers(root: string): void {
  for (const name of readdirSync(root)) {
    if (name.includes(PARTIAL)) rmSync(join(root, name), { recursive: true, force: true })
  }
}

async function waitForTurn(root: string, say: (line: string) => void): Promise<FolderHold> {
  for (let saidSo = false; ; saidSo = true) {
    try {
      return await acquireFolder(root)
    } catch (error) {
      if (!(error instanceof SetupError) || error.code !== 'data-folder-in-use') throw error
      if (!saidSo) say('Another process is installing the services; waiting for it …')
      await new Promise((resolve) => setTimeout(resolve, LOOK_AGAIN_MS))
    }
  }
}
