/** A folder that goes with this process, however the process ends. */
import { spawn } from 'node:child_process'
import { mkdtempSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

const script = fileURLToPath(new URL('remove-folder.sh', import.meta.url))

/** Longer than servers that are held take to end. */
const PATIENCE_SECONDS = 90

export interface TemporaryFolder {
  readonly path: string
  remove(): Promise<void>
}

export function temporaryFolder(): TemporaryFolder {
  const path = mkdtempSync(join(tmpdir(), 'cuestream-services-'))
  const child = spawn('/bin/sh', [script, String(PATIENCE_SECONDS), path], {
    detached: true,
    stdio: ['pipe', 'ignore', 'ignore'],
  })
  const ended = new Promise((resolve) => child.once('exit', resolve))
  const pipe = child.stdin as typeof child.stdin & { unref(): void }
  child.unref()
  pipe.unref()
  return {
    path,
    async remove() {
      child.ref()
      pipe.end()
      await ended
    },
  }
}
