import { trainLiveTests } from './train-live.ts'

trainLiveTests('the embedded engines', async () => ({}))
