import { rebuildTests } from './rebuild.ts'

rebuildTests('the embedded engines', async () => ({}), 25)
