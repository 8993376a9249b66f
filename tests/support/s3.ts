/** Buckets of a real S3 service: the one that S3_URL names, else one by the ladder of services/, ended with the test's process. */
import { randomUUID } from 'node:crypto'
import { defaultPatience } from '../../adapters/model-store/s3-bucket.ts'
import { type S3Address, type S3Patience, sendS3 } from '../../adapters/model-store/s3-request.ts'
import { startServices } from '../../services/start-services.ts'

/** No test waits long for what will not come. */
export const impatient: S3Patience = { ...defaultPatience, retryDelayMs: 1 }

let started: Promise<string> | undefined

/** A new, empty one. @throws SetupError saying what the machine lacks. */
export async function testBucket(): Promise<S3Address> {
  started ??= startServices({ want: ['s3'] }).then(({ s3Url }) => s3Url)
  const { origin, username, password } = new URL(await started)
  const address = {
    endpoint: origin,
    region: 'us-east-1',
    bucket: `cuestream-test-${randomUUID().slice(0, 8)}`,
    pathStyle: true,
    accessKey: decodeURIComponent(username),
    secretKey: decodeURIComponent(password),
  }
  await sendS3(address, { method: 'PUT', answerBytes: 0 }, defaultPatience, async () => {})
  return address
}
