import { releaseTests } from './releases.ts'

releaseTests('the embedded engines', async () => ({}))
