import { openFileMediaStore } from '../../adapters/media/file-media-store.ts'
import { temporaryFolder } from '../support/temporary-folder.ts'
import { mediaStoreConformance } from './media-store.ts'

const folder = temporaryFolder()
let stores = 0

mediaStoreConformance('the file adapter', {
  open: ({ maxBytes }) => openFileMediaStore({ folder: `${folder}/${stores++}`, maxBytes }),
})
