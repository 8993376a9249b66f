import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after } from 'node:test'
import { openFileMediaStore } from '../../adapters/media/file-media-store.ts'
import { mediaStoreConformance } from './media-store.ts'

const folder = mkdtempSync(join(tmpdir(), 'cuestream-media-store-'))
after(() => rmSync(folder, { recursive: true, force: true }))

mediaStoreConformance('file', {
  open: ({ maxBytes }) => openFileMediaStore({ folder: mkdtempSync(join(folder, 'store-')), maxBytes }),
})
