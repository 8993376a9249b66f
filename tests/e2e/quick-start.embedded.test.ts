import { quickStart } from './quick-start.ts'

quickStart('the embedded engines', async () => ({}))
