import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after } from 'node:test'

/** An empty folder that goes when the test file (or the enclosing describe) ends. */
export function temporaryFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'cuestream-'))
  after(() => rmSync(folder, { recursive: true, force: true }))
  return folder
}
