import time, json, httpx, subprocess, statistics
from tests.service.test_api_jobs import api_process
def test_big(api):
    rows=b"".join(json.dumps({"question":f"what is {i} plus {i}? "*20,"answer":f"why\n#### {i}"}).encode()+b"\n" for i in range(100000))
    with api_process() as url:
        pid=subprocess.check_output(["pgrep","-f","uvicorn backend.app:app --port "+url.rsplit(":",1)[1]]).split()[0].decode()
        peak=lambda: [l for l in open(f"/proc/{pid}/status") if l.startswith("VmHWM")][0].split()[1]
        h=httpx.Client(base_url=url,headers=api.http.headers,timeout=200)
        h.get("/v1/models"); print("before",peak())
        t=time.time(); r=h.post("/v1/files",data={"purpose":"fine-tune"},files={"file":("a.jsonl",rows)}); print(len(rows)/1e6,"MB",r.status_code,time.time()-t,"s peak kB",peak())
        fid=r.json()["id"]
        t=time.time(); n=len(h.get(f"/v1/files/{fid}/content").content); print("content",n,time.time()-t,peak())
        t=time.time(); r=h.post("/v1/fine_tuning/jobs",json={"model":"starter","training_file":fid,"method":{"type":"reinforcement","reinforcement":{"grader":{"type":"regex","pattern":"x"}}}}); print("job",r.status_code,time.time()-t,peak())
        j=r.json()["id"]
        for p in (f"/v1/fine_tuning/jobs/{j}","/v1/fine_tuning/jobs",f"/v1/files/{fid}/rows?limit=20",f"/v1/fine_tuning/jobs/{j}/metrics"):
            ts=[]
            for _ in range(100):
                t=time.time(); h.get(p); ts.append((time.time()-t)*1e3)
            print(p,statistics.median(ts),sorted(ts)[-2])
    with api_process(BROKER_URL="redis://127.0.0.1:1/0") as url:
        h=httpx.Client(base_url=url,headers=api.http.headers,timeout=200)
        t=time.time(); r=h.get("/readyz"); print("readyz",r.status_code,time.time()-t)
        t=time.time(); r=h.post("/v1/fine_tuning/jobs",json={"model":"starter","training_file":fid,"method":{"type":"reinforcement","reinforcement":{"grader":{"type":"regex","pattern":"x"}}}}); print("job",r.status_code,time.time()-t)
        t=time.time(); r=h.post(f"/v1/fine_tuning/jobs/{j}/cancel"); print("cancel",r.status_code,time.time()-t)
