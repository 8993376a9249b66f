import { join } from 'node:path'
import { openS3ModelStore } from '../../adapters/model-store/s3.ts'
import { testBucket } from '../support/s3.ts'
import { temporaryFolder } from '../support/temporary-folder.ts'
import { modelStoreConformance } from './model-store.ts'

const folder = temporaryFolder()
const bucket = testBucket()
let copies = 0
// A new folder each time: what was published must come from the bucket.
const open = async () =>
  openS3ModelStore({ ...(await bucket), prefix: 'a/prefix', cacheFolder: join(folder, `copies-${copies++}`) })
modelStoreConformance('a bucket', { open, close: async () => {}, reopen: open })
